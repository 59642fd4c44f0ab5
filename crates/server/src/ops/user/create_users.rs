//! CreateUsers: end users, each of which may fail alone.

use creel_control::access::Actor;
use creel_control::user::{CreateUsers, NewUser, OwnerType};
use creel_wire::error::ApiError;
use creel_wire::ops::user::create_users::{
    CreateResult, CreateResultCreatedUsers, CreateResultFailedUsers, Input, Output, Users,
};
use creel_wire::time::read_any;

use super::{api_error, failure};
use crate::app::App;

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    let request = CreateUsers {
        users: input.users.iter().cloned().map(new_user).collect(),
        is_local_admin: input.is_local_admin.unwrap_or(false),
        locked_from_ms: input.auto_lock_time.as_deref().map(lock_time).transpose()?.flatten(),
    };
    let outcomes = app.users.create(actor, request).await.map_err(api_error)?;
    let (mut created, mut failed) = (Vec::new(), Vec::new());
    for (user, outcome) in input.users.into_iter().zip(outcomes) {
        match outcome {
            None => created.push(CreateResultCreatedUsers {
                email: user.email,
                end_user_id: Some(user.end_user_id),
                phone: user.phone,
                real_nick_name: user.real_nick_name,
                remark: user.remark,
            }),
            Some(reason) => {
                let (code, message) = failure(reason, &user.end_user_id);
                failed.push(CreateResultFailedUsers {
                    email: user.email,
                    end_user_id: Some(user.end_user_id),
                    error_code: Some(code),
                    error_message: Some(message),
                    phone: user.phone,
                });
            }
        }
    }
    Ok(Output {
        all_succeed: Some(failed.is_empty()),
        create_result: Some(CreateResult { created_users: Some(created), failed_users: Some(failed) }),
    })
}

/// SDKs send an empty text for what was not set.
fn new_user(user: Users) -> NewUser {
    let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
    let owner_type = user.owner_type.as_deref().and_then(OwnerType::from_word);
    NewUser {
        id: user.end_user_id,
        email: filled(user.email),
        phone: filled(user.phone),
        nick_name: filled(user.real_nick_name),
        remark: filled(user.remark),
        owner_type: owner_type.unwrap_or_default(),
    }
}

/// A day, or a moment in any of the provider's forms; UTC, as everything that names no zone.
fn lock_time(text: &str) -> Result<Option<i64>, ApiError> {
    if text.is_empty() {
        return Ok(None);
    }
    let at = read_any(text).or_else(|| read_any(&format!("{text} 00:00:00")));
    let wrong = || {
        ApiError::invalid(
            "AutoLockTime",
            "AutoLockTime must be a moment such as 2027-01-31 18:00:00, in UTC.",
        )
    };
    at.map(|at| Some(creel_wire::time::to_epoch_ms(at))).ok_or_else(wrong)
}
