//! DescribeInvocations: commands and what became of them, newest first.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use creel_control::access::Actor;
use creel_control::command::{Command, CommandFilter, CommandRun, CommandStatus, Detail};
use creel_control::message::InvocationStatus;
use creel_wire::error::ApiError;
use creel_wire::ops::command::describe_invocations::{Input, Invocations, InvocationsInvokeDesktops, Output};
use creel_wire::time::TimeFormat;

use crate::app::App;
use crate::ops::{page_by_token, shown_time};

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    app.check_region(&input.region_id)?;
    let (after, limit) = page_by_token(input.next_token.as_deref(), input.max_results, 10, 50)?;
    let detail = match (input.include_output, input.include_invoke_desktops) {
        (Some(true), _) => Detail::Outputs,
        (_, Some(true)) => Detail::Runs,
        _ => Detail::Sums,
    };
    let plain = input.content_encoding.as_deref() == Some("PlainText");
    let filter = filter(input);
    let listed = app.commands.list(&actor.account_id, &filter, detail, after, limit).await;
    let page = listed.map_err(super::api_error)?;
    let shown = page.items.into_iter().map(|command| shown(command, detail, plain));
    Ok(Output { invocations: Some(shown.collect()), next_token: page.next.map(|cursor| cursor.to_token()) })
}

fn filter(input: Input) -> CommandFilter {
    let mut runtime_ids = input.desktop_ids;
    runtime_ids.extend(input.desktop_id);
    // Finished is the filter's word for Success. Nothing is ever stopped: there is no operation for it.
    let status = input.invoke_status.map(|status| match status.as_str() {
        "Finished" => Ok(CommandStatus::Success),
        other => other.parse::<CommandStatus>(),
    });
    CommandFilter {
        id: input.invoke_id,
        runtime_ids,
        end_user_id: input.end_user_id,
        kind: input.command_type,
        nothing: matches!(status, Some(Err(()))),
        status: status.and_then(Result::ok),
    }
}

fn shown(command: Command, detail: Detail, plain: bool) -> Invocations {
    let created_at_ms = command.created_at_ms;
    let runs = command.runs.into_iter().map(|run| shown_run(run, plain)).collect();
    Invocations {
        command_content: Some(if plain { command.content } else { STANDARD.encode(command.content) }),
        command_type: Some(command.kind),
        creation_time: Some(shown_time(created_at_ms, TimeFormat::Seconds)),
        desktop_scenario: Some(command.scenario),
        end_user_id: command.end_user_id,
        invocation_status: Some(command.status.as_str().to_owned()),
        invoke_desktop_count: Some(command.runtime_count),
        invoke_desktop_succeed_count: Some(command.succeeded),
        invoke_desktops: (detail != Detail::Sums).then_some(runs),
        invoke_id: Some(command.id.to_string()),
    }
}

fn shown_run(run: CommandRun, plain: bool) -> InvocationsInvokeDesktops {
    let status = match run.status {
        InvocationStatus::Succeeded => "Success",
        other => other.as_str(),
    };
    let time = |at_ms| shown_time(at_ms, TimeFormat::Seconds);
    let changed_at_ms = run.finished_at_ms.or(run.sent_at_ms).unwrap_or(run.created_at_ms);
    let text = |output: String| {
        let bytes = STANDARD.decode(&output).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    InvocationsInvokeDesktops {
        creation_time: Some(time(run.created_at_ms)),
        desktop_id: Some(run.runtime_id.to_string()),
        desktop_name: Some(run.runtime_name),
        dropped: Some(run.output_dropped),
        error_code: run.failure,
        error_info: run.error_message,
        exit_code: run.exit_code,
        finish_time: run.finished_at_ms.map(time),
        invocation_status: Some(status.to_owned()),
        jvs_agent_id: run.jvs_id.map(|id| id.to_string()),
        output: run.output.map(|output| if plain { text(output) } else { output }),
        repeats: Some(i64::from(run.sent_at_ms.is_some())),
        start_time: run.sent_at_ms.map(time),
        update_time: Some(time(changed_at_ms)),
        ..InvocationsInvokeDesktops::default()
    }
}
