//! What the supervisor tells the rest of the guest.

use creel_wire::guest::{Observation, Receipt};

use crate::openclaw::rpc::Endpoint;

/// Always the newest; what came between two looks is of no interest.
#[derive(Debug, Clone)]
pub(crate) struct Published {
    pub(crate) observation: Observation,
    /// `None` before a first desired state.
    pub(crate) receipt: Option<Receipt>,
    /// Present while the agent can be talked to.
    pub(crate) endpoint: Option<Endpoint>,
}
