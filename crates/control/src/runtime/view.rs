//! What lists of runtimes show, and what they can be filtered by.

use creel_wire::guest::AgentStatus;
use creel_wire::id::ModelGroupId;

use super::{Management, Runtime};
use crate::entitlement::Entitled;

/// What the guest last reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    pub agent_version: Option<String>,
    pub agent_starts: i64,
    pub memory_limited: bool,
    pub agent_error: Option<String>,
    pub receipt_desired: i64,
    pub receipt_observed: i64,
    pub receipt_error: Option<String>,
    pub applied_models: String,
    pub observed_at_ms: i64,
}

/// A runtime with everything that a list shows beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeView {
    pub runtime: Runtime,
    pub office_site_name: String,
    /// `None` where it is in none.
    pub resource_group_name: Option<String>,
    /// The effective model group, which may be its resource group's instead of its own.
    pub model_group_id: Option<ModelGroupId>,
    pub model_group_name: Option<String>,
    /// Of what its desired state shares with others: its model group and its account's skills.
    pub shared_revision: i64,
    /// The status of the agent as the API shows it: what the guest says while it can be heard.
    pub agent_status: AgentStatus,
    /// Whether a live replica holds the guest's link.
    pub guest_online: bool,
    /// Whether new users are promised and not in place yet.
    pub is_assigning: bool,
    pub observed: Option<Observed>,
    /// Skills are not as authorised, and the account's policy counts that as a risk.
    pub skills_modified: bool,
    pub users: Vec<String>,
    pub tags: Vec<(String, String)>,
    /// Codes of its configured channels.
    pub channels: Vec<String>,
}

impl RuntimeView {
    /// What is being done with the runtime; empty where nothing is.
    pub fn management(&self) -> Vec<Management> {
        let assigning = self.is_assigning.then_some(Management::Assigning);
        let power = Some(self.runtime.management()).filter(|flag| *flag != Management::NoFlag);
        assigning.into_iter().chain(power).collect()
    }

    /// The generation that the guest should confirm.
    pub fn wish_generation(&self) -> i64 {
        super::wish_generation(self.runtime.generation, self.shared_revision)
    }

    /// Whether the guest has confirmed everything that is wished.
    pub fn is_applied(&self) -> bool {
        self.observed.as_ref().is_some_and(|seen| seen.receipt_observed >= self.wish_generation())
    }
}

/// Filters of every list of runtimes; an absent one filters nothing, several in one list mean any of them.
#[derive(Debug, Clone, Default)]
pub struct RuntimeFilter {
    /// `ecd-…` or `jvs-…`.
    pub ids: Vec<String>,
    pub region_id: Option<String>,
    pub names: Vec<String>,
    pub sandbox_statuses: Vec<String>,
    /// Include deleted runtimes: only where the caller asks for the status Deleted.
    pub deleted: bool,
    pub management: Option<Management>,
    pub office_site_id: Option<String>,
    pub office_site_name: Option<String>,
    pub resource_group_id: Option<String>,
    pub agent_providers: Vec<String>,
    pub agent_platforms: Vec<String>,
    pub agent_statuses: Vec<String>,
    /// `2026.9.6` or `OpenClaw 2026.9.6`.
    pub agent_versions: Vec<String>,
    pub has_user: Option<bool>,
    pub users: Vec<String>,
    pub excluded_users: Vec<String>,
    pub has_channel: Option<bool>,
    /// Whether it has skills that are not as authorised, where the account's policy counts them.
    pub has_risk: Option<bool>,
    pub has_model_group: Option<bool>,
    /// The effective one.
    pub model_group_id: Option<String>,
    pub image_ids: Vec<String>,
    pub desktop_type: Option<String>,
    pub charge_type: Option<String>,
    pub os_types: Vec<String>,
    pub tags: Vec<(String, Option<String>)>,
    /// Only what this end user is entitled to; set by the caller's scope.
    pub entitled_to: Option<Entitled>,
    /// Set where a filter asks for something that no runtime can have in this version.
    pub nothing: bool,
}
