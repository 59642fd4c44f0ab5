//! The services of one server, shared by everything that answers a request.

use std::sync::Arc;

use creel_control::account::Accounts;
use creel_control::clock::Clock;
use creel_control::id_gen::IdGen;
use creel_control::secrets::Sealer;
use creel_control::store::Store;
use creel_control::tasks::Tasks;

use crate::config::Config;
use crate::http::Metrics;
use crate::rpc::Nonces;

/// Cheap to clone; all clones are the same server.
#[derive(Debug, Clone)]
pub(crate) struct App(Arc<Services>);

/// What an [`App`] holds. A service is added here, made in `serve.rs`, and used by handlers as `app.<service>`.
#[derive(Debug)]
pub(crate) struct Services {
    pub(crate) config: Config,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: IdGen,
    pub(crate) store: Store,
    pub(crate) sealer: Arc<Sealer>,
    pub(crate) tasks: Tasks,
    pub(crate) accounts: Accounts,
    pub(crate) metrics: Metrics,
    /// Nonces of requests seen by this process.
    pub(crate) nonces: Nonces,
}

impl App {
    pub(crate) fn new(services: Services) -> Self {
        Self(Arc::new(services))
    }
}

impl std::ops::Deref for App {
    type Target = Services;

    fn deref(&self) -> &Services {
        &self.0
    }
}
