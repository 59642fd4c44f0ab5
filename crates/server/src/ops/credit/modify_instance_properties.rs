//! ModifyInstanceProperties: what happens when credit packs are used up.

use creel_control::access::Actor;
use creel_control::ledger::UsedUpStrategy;
use creel_wire::error::ApiError;
use creel_wire::ops::credit::modify_instance_properties::{Input, Output};

use super::api_error;
use crate::app::App;

/// All packs named, or none if one does not exist. The limits of the declaration leave one ResourceType and one Key.
pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    let mut ids: Vec<String> = input.instance_id.into_iter().chain(input.instance_ids).collect();
    ids.sort_unstable();
    ids.dedup();
    if ids.is_empty() {
        return Err(ApiError::missing("InstanceIds"));
    }
    let strategy: UsedUpStrategy = input
        .value
        .parse()
        .map_err(|_| ApiError::invalid("Value", "Value must be Postpaid, Shutdown or Maintenance."))?;
    app.credits.set_used_up_strategy(actor, ids, strategy).await.map_err(api_error)?;
    Ok(Output::default())
}
