//! RemoveUsers: end users go, and what they were entitled to.

use creel_control::access::Actor;
use creel_wire::error::ApiError;
use creel_wire::ops::user::remove_users::{Input, Output, RemoveUsersResult, RemoveUsersResultFailedUsers};

use super::{api_error, failure};
use crate::app::App;

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    let outcomes = app.users.remove(actor, input.users.clone()).await.map_err(api_error)?;
    let (mut removed, mut failed) = (Vec::new(), Vec::new());
    for (name, outcome) in input.users.into_iter().zip(outcomes) {
        match outcome {
            None => removed.push(name),
            Some(reason) => {
                let (code, message) = failure(reason, &name);
                failed.push(RemoveUsersResultFailedUsers {
                    end_user_id: Some(name),
                    error_code: Some(code),
                    error_message: Some(message),
                });
            }
        }
    }
    let result = RemoveUsersResult { failed_users: Some(failed), removed_users: Some(removed) };
    Ok(Output { remove_users_result: Some(result) })
}
