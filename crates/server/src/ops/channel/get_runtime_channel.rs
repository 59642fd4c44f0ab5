//! GetRuntimeChannel: every channel, and how a runtime has it configured.

use creel_control::access::Actor;
use creel_control::channel::{ChannelCode, ChannelView};
use creel_wire::error::ApiError;
use creel_wire::ops::channel::get_runtime_channel::{Data, Input, Output};

use super::{agent, api_error};
use crate::app::App;

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    let agent = agent(&input.agent_provider)?;
    let found = app.channels.list(&actor.account_id, &input.runtime_id, agent).await;
    let found = found.map_err(api_error)?;
    let with_risk = input.include_risk_info == Some(true);
    let data: Vec<Data> = ChannelCode::ALL
        .into_iter()
        .map(|code| match found.iter().find(|channel| channel.code == code) {
            Some(channel) => configured(channel, with_risk),
            None => shown(code, "Unconfigured"),
        })
        .collect();
    Ok(Output { total_count: i64::try_from(data.len()).ok(), data: Some(data) })
}

fn shown(code: ChannelCode, status: &str) -> Data {
    Data {
        channel_type: Some("System".to_owned()),
        code: Some(code.as_str().to_owned()),
        status: Some(status.to_owned()),
        ..Data::default()
    }
}

fn configured(channel: &ChannelView, with_risk: bool) -> Data {
    Data {
        config: Some(channel.config.clone()),
        config_mode: Some(channel.mode.as_str().to_owned()),
        // No guest delivers channels yet, so that none has confirmed one.
        risk_type: with_risk.then(|| "Pending".to_owned()),
        ..shown(channel.code, "Configured")
    }
}
