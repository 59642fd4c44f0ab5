//! Commands in runtimes.

pub(crate) mod describe_invocations;
pub(crate) mod run_command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use creel_control::command::{BadCommand, CommandError, NewCommand, TIMEOUT_S_DEFAULT};
use creel_wire::error::{ApiError, ErrorCode};

/// The only kind of script that runs here.
const SHELL: &str = "RunShellScript";

pub(crate) fn api_error(error: CommandError) -> ApiError {
    match error {
        CommandError::NotFound(id) => {
            ApiError::new(ErrorCode::DESKTOP_NOT_FOUND, format!("No runtime {id} in this account."))
        }
        CommandError::Bad(bad) => bad_command(bad, "CommandContent"),
        CommandError::Access(error) => super::access_error(&error),
        CommandError::Store(error) => super::store_error(&error),
    }
}

fn bad_command(bad: BadCommand, content: &str) -> ApiError {
    let parameter = match bad {
        BadCommand::Content => content,
        BadCommand::Timeout => "Timeout",
    };
    ApiError::invalid(parameter, format!("{}.", super::sentence(&bad.to_string())))
}

/// A script as the API takes it. `parameter` is where its content came in, `kind_parameter` where its kind did.
pub(crate) fn new_command(
    (parameter, kind_parameter): (&str, &str),
    kind: &str,
    content: String,
    encoding: &str,
    timeout_s: Option<i64>,
) -> Result<NewCommand, ApiError> {
    if kind != SHELL {
        return Err(ApiError::invalid(
            kind_parameter,
            format!("Only {SHELL} can be run: no runtime of this installation runs Windows."),
        ));
    }
    let content = if encoding == "Base64" {
        let bytes = STANDARD.decode(content.trim()).ok();
        bytes
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .ok_or_else(|| ApiError::invalid(parameter, "The script is not the Base64 of a text in UTF-8."))?
    } else {
        content
    };
    let timeout_s = timeout_s.unwrap_or(TIMEOUT_S_DEFAULT);
    let command = NewCommand { kind: kind.to_owned(), content, timeout_s, end_user_id: None };
    command.check().map_err(|bad| bad_command(bad, parameter))?;
    Ok(command)
}
