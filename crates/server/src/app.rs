//! The services of one server, shared by everything that answers a request.

use std::sync::Arc;

use creel_control::account::Accounts;
use creel_control::audit::{AuditLog, Refusals};
use creel_control::call_limit::CallLimits;
use creel_control::capture::{CapturePolicies, Captures};
use creel_control::channel::Channels;
use creel_control::clock::Clock;
use creel_control::command::Commands;
use creel_control::entitlement::Entitlements;
use creel_control::id_gen::IdGen;
use creel_control::ledger::Credits;
use creel_control::message::Messages;
use creel_control::model::Models;
use creel_control::object::Objects;
use creel_control::office_site::OfficeSites;
use creel_control::order::Orders;
use creel_control::principal::Principals;
use creel_control::resource_group::ResourceGroups;
use creel_control::runtime::Runtimes;
use creel_control::secrets::MacKey;
use creel_control::skill::Skills;
use creel_control::store::Store;
use creel_control::tag::Tags;
use creel_control::tasks::Tasks;
use creel_control::user::Users;

use creel_wire::error::ApiError;
use creel_wire::id::AccountId;

use crate::config::Config;
use crate::http::Metrics;
use crate::order_approval::OrderApproval;
use crate::rpc::{Limits, Nonces};

/// Cheap to clone; all clones are the same server.
#[derive(Debug, Clone)]
pub(crate) struct App(Arc<Services>);

/// What an [`App`] holds. A service is added here, made in `serve.rs`, and used by handlers as `app.<service>`.
#[derive(Debug)]
pub(crate) struct Services {
    /// Where the API is, as this process sees it.
    pub(crate) admin_url: String,
    pub(crate) config: Config,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: IdGen,
    pub(crate) store: Store,
    pub(crate) tasks: Tasks,
    pub(crate) accounts: Accounts,
    /// The account that the first start made: its owner is this server's operator.
    pub(crate) operator_account_id: AccountId,
    pub(crate) principals: Principals,
    pub(crate) audit: AuditLog,
    pub(crate) refusals: Refusals,
    /// What is uploaded, and contents of skills and icons.
    pub(crate) objects: Objects,
    pub(crate) office_sites: OfficeSites,
    pub(crate) resource_groups: ResourceGroups,
    pub(crate) runtimes: Runtimes,
    pub(crate) messages: Messages,
    pub(crate) tags: Tags,
    pub(crate) commands: Commands,
    pub(crate) models: Models,
    pub(crate) channels: Channels,
    pub(crate) credits: Credits,
    pub(crate) call_limits: CallLimits,
    pub(crate) capture_policies: CapturePolicies,
    pub(crate) captures: Captures,
    pub(crate) orders: Orders,
    pub(crate) order_approval: OrderApproval,
    pub(crate) skills: Skills,
    pub(crate) users: Users,
    pub(crate) entitlements: Entitlements,
    /// What processes with the same master key know each other by.
    pub(crate) cluster_key: MacKey,
    pub(crate) metrics: Metrics,
    /// Nonces of requests seen by this process.
    pub(crate) nonces: Nonces,
    /// How much each caller may ask for.
    pub(crate) limits: Limits,
}

impl App {
    pub(crate) fn new(services: Services) -> Self {
        Self(Arc::new(services))
    }

    /// Refuses a region that is not this installation's.
    pub(crate) fn check_region(&self, region_id: &str) -> Result<(), ApiError> {
        if region_id == self.config.region {
            return Ok(());
        }
        let message = format!("This installation is the region {}. Use it as RegionId.", self.config.region);
        Err(ApiError::invalid("RegionId", message))
    }
}

impl std::ops::Deref for App {
    type Target = Services;

    fn deref(&self) -> &Services {
        &self.0
    }
}
