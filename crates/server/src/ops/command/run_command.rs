//! RunCommand: runs a script in runtimes as the agent's user. What became of it is read with DescribeInvocations.

use creel_control::access::Actor;
use creel_control::command::NewCommand;
use creel_wire::error::ApiError;
use creel_wire::ops::command::run_command::{Input, Output};

use crate::app::App;

const PARAMETERS: (&str, &str) = ("CommandContent", "Type");

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    app.check_region(&input.region_id)?;
    let encoding = input.content_encoding.as_deref().unwrap_or("PlainText");
    let command = super::new_command(
        PARAMETERS,
        &input.r#type,
        input.command_content.expose().to_owned(),
        encoding,
        input.timeout,
    )?;
    let command = NewCommand { end_user_id: input.end_user_id, ..command };
    let id = app.commands.run(actor, input.desktop_id, command).await.map_err(super::api_error)?;
    Ok(Output { invoke_id: Some(id.to_string()) })
}
