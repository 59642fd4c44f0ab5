//! The operations of the API: one table from declaration to handler.
//!
//! # How to add a handler
//!
//! 1. Declare the operation in `spec/built.toml` and run `cargo run -p xtask -- gen-ops`; that makes
//!    `creel_wire::ops::<resource>::<operation>` with `SPEC`, `Input` and `Output`.
//! 2. Write `crates/server/src/ops/<resource>/<operation>.rs` with exactly this function, at most 80 lines:
//!    ```ignore
//!    use creel_control::access::Actor;
//!    use creel_wire::error::ApiError;
//!    use creel_wire::ops::office_site::create_simple_office_site::{Input, Output};
//!
//!    use crate::app::App;
//!
//!    pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
//!        let site = app.office_sites.create(&actor, …).await.map_err(super::api_error)?;
//!        Ok(Output { office_site_id: site.id.to_string(), … })
//!    }
//!    ```
//!    It only translates: `Input` to the service's words, the service's answer to `Output`. Rules live in `control`.
//! 3. Say `pub(crate) mod <operation>;` in `crates/server/src/ops/<resource>/mod.rs`. That file also holds the one
//!    place that maps the resource's errors, `pub(crate) fn api_error(error: XError) -> ApiError`: a match over every
//!    variant; for failures of ours [`internal`], for [`AccessError`] [`access_error`].
//! 4. Add `<resource>::<operation>,` to the `operations!` table below, and `mod <resource>;` if it is the first of
//!    its resource.
//!
//! What a handler may rely on: the caller is authenticated and the request is fresh; `Input` is inside its declared
//! limits; `actor` names account, key, action, request id, nonce and ClientToken. What it must do: pass `actor` to the
//! service, which calls [`Actor::audit`] first in its transaction if the operation changes anything. The RequestId is
//! put into the answer by the dispatcher. A panic or [`HANDLER_DEADLINE`] passing answers `InternalError` or
//! `ServiceUnavailable`.

mod audit;
mod call_limit;
mod capture;
mod catalog;
mod channel;
mod command;
mod credit;
mod entitlement;
mod ledger;
mod message;
mod model;
mod model_group;
mod model_provider;
mod office_site;
mod order;
mod policy;
pub(crate) mod principal;
mod region;
mod resource_group;
pub(crate) mod runtime;
mod skill;
mod system_provider;
mod tag;
mod user;

use std::time::Duration;

use bytes::Bytes;
use creel_control::access::{AccessError, Actor};
use creel_control::page::{Cursor, PageError};
use creel_wire::error::{ApiError, ErrorCode};
use creel_wire::ops::OpSpec;
use creel_wire::params::Params;
use creel_wire::time::TimeFormat;
use futures_util::future::BoxFuture;

use crate::app::App;

/// Longest time a handler may take. Everything slower is a wish that reconciliation makes true.
pub(crate) const HANDLER_DEADLINE: Duration = Duration::from_secs(30);

/// Runs one operation: decodes its input, calls its handler, encodes its output without RequestId.
type Call = for<'a> fn(&'a App, Actor, &'a Params) -> BoxFuture<'a, Result<Bytes, ApiError>>;

/// One built operation.
pub(crate) struct Operation {
    pub(crate) spec: &'static OpSpec,
    pub(crate) call: Call,
}

macro_rules! operations {
    ($($resource:ident::$operation:ident),* $(,)?) => {
        /// Every built operation, in the order of the table in `ops/mod.rs`.
        pub(crate) static OPERATIONS: &[Operation] = &[$({
            use creel_wire::ops::$resource::$operation::{Input, SPEC};
            fn call<'a>(app: &'a App, actor: Actor, params: &'a Params) -> BoxFuture<'a, Result<Bytes, ApiError>> {
                Box::pin(async move {
                    let input = Input::decode(params)?;
                    encode(&$resource::$operation::handle(app, actor, input).await?)
                })
            }
            Operation { spec: &SPEC, call }
        }),*];
    };
}

operations! {
    audit::describe_audit_events,
    call_limit::list_call_limits,
    call_limit::set_call_limit,
    capture::list_capture_policies,
    capture::list_captured_calls,
    capture::read_captured_call,
    capture::set_capture_policy,
    catalog::describe_bundles,
    catalog::describe_desktop_types,
    catalog::describe_images,
    channel::config_runtime_channel,
    channel::get_runtime_channel,
    channel::remove_runtime_channel,
    command::describe_invocations,
    command::run_command,
    credit::describe_credit_package_agents,
    credit::describe_credit_usage_info,
    credit::describe_deduction_statistic,
    credit::describe_package_deductions,
    credit::describe_run_id_deductions,
    credit::modify_instance_properties,
    credit::set_agent_credit_quota,
    entitlement::batch_modify_entitlement,
    entitlement::modify_entitlement,
    entitlement::modify_user_entitlement,
    ledger::describe_ledger_entries,
    message::describe_agent_messages,
    message::describe_agent_receipts,
    message::send_agent_message,
    model::batch_create_llm_templates,
    model::delete_llm_template,
    model::list_llm_templates,
    model_group::config_resource_group_model_template,
    model_group::config_runtime_model_template,
    model_group::create_model_template,
    model_group::delete_model_template,
    model_group::get_runtime_model_config,
    model_group::list_model_template_resource_group,
    model_group::list_model_templates,
    model_group::remove_resource_group_model_template,
    model_group::remove_runtime_model_template,
    model_group::update_model_template,
    model_provider::create_model_provider_template,
    model_provider::delete_model_provider_template,
    model_provider::get_model_provider_template,
    model_provider::list_model_provider_endpoints,
    model_provider::list_model_provider_templates,
    model_provider::update_model_provider_template,
    office_site::create_simple_office_site,
    office_site::delete_office_sites,
    office_site::describe_office_sites,
    order::create_multi_order,
    order::describe_credit_orders,
    order::describe_multi_price,
    policy::attach_policy,
    policy::delete_policy,
    policy::detach_policy,
    policy::get_policy,
    policy::list_policies,
    policy::put_policy,
    principal::create_access_key,
    principal::create_principal,
    principal::create_temporary_credentials,
    principal::delete_access_key,
    principal::delete_principal,
    principal::list_access_keys,
    principal::list_principals,
    principal::update_access_key,
    principal::update_principal,
    region::describe_regions,
    resource_group::create_resource_group,
    resource_group::delete_resource_group,
    resource_group::describe_resource_groups,
    resource_group::transfer_resources_into_group,
    resource_group::transfer_resources_outof_group,
    runtime::create_desktops,
    runtime::delete_desktops,
    runtime::describe_desktops,
    runtime::hibernate_desktops,
    runtime::list_desktop_agent_runtime,
    runtime::modify_desktop_name,
    runtime::reboot_desktops,
    runtime::start_desktops,
    runtime::stop_desktops,
    runtime::wakeup_desktops,
    skill::create_tenant_skill,
    skill::delete_tenant_skills,
    skill::export_skill_version,
    skill::get_parse_progress,
    skill::get_skill_policy,
    skill::get_skill_version,
    skill::list_agent_skills,
    skill::list_secure_skill_identities,
    skill::list_skill_authed_identities,
    skill::list_skills,
    skill::parse_skill_package,
    skill::review_skill_version,
    skill::set_identity_skill_auth,
    skill::set_identity_skill_security,
    skill::set_skill_policy,
    skill::set_skill_version,
    skill::set_tenant_skill_enabled,
    skill::withdraw_skill_version,
    skill::get_oss_sts_token,
    system_provider::create_system_provider,
    system_provider::create_system_provider_key,
    system_provider::delete_system_model,
    system_provider::delete_system_provider,
    system_provider::delete_system_provider_key,
    system_provider::list_system_providers,
    system_provider::put_system_model,
    system_provider::set_system_price,
    system_provider::update_system_provider,
    system_provider::update_system_provider_key,
    tag::list_tag_resources,
    tag::tag_resources,
    tag::untag_resources,
    user::create_users,
    user::describe_users,
    user::remove_users,
}

/// The operation of this version and action, if it is built.
pub(crate) fn find(version: &str, action: &str) -> Option<&'static Operation> {
    OPERATIONS.iter().find(|operation| operation.spec.action == action && operation.spec.version == version)
}

/// A failure of ours: the client reads a general text, the chain of causes goes to the log.
pub(crate) fn internal(error: &(dyn std::error::Error + 'static)) -> ApiError {
    tracing::error!(error = %chain(error), "an operation failed");
    internal_text()
}

/// What a client reads about a failure of ours.
pub(crate) fn internal_text() -> ApiError {
    ApiError::new(
        ErrorCode::INTERNAL_ERROR,
        "The request failed because of an internal error. Try again; if it stays, give the RequestId to the operator.",
    )
}

/// A store that is closing or busy is worth a second try by the caller; everything else is [`internal`].
pub(crate) fn store_error(error: &creel_control::store::StoreError) -> ApiError {
    if !error.is_retryable() {
        return internal(error);
    }
    tracing::warn!(error = %chain(error), "the database could not serve an operation now");
    ApiError::new(ErrorCode::SERVICE_UNAVAILABLE, "The service is not ready for this request now. Try again.")
}

/// What the rules about nonces and client tokens answer.
pub(crate) fn access_error(error: &AccessError) -> ApiError {
    match error {
        AccessError::NonceUsed => nonce_used(),
        AccessError::TokenReused => ApiError::new(
            ErrorCode::IDEMPOTENT_PARAMETER_MISMATCH,
            "The ClientToken was used before with other parameters. Use a new one for a new request.",
        ),
        AccessError::Store(error) => store_error(error),
    }
}

/// The signature's nonce came before.
pub(crate) fn nonce_used() -> ApiError {
    ApiError::new(
        ErrorCode::NONCE_USED,
        "The signature nonce was used before. Sign each request with a new one.",
    )
}

/// What is wrong with a page, as the parameter's own error.
pub(crate) fn page_error(error: &PageError, parameter: &str) -> ApiError {
    let parameter = match error {
        PageError::Size { .. } => parameter,
        PageError::Number => "PageNumber",
        PageError::Token => "NextToken",
    };
    ApiError::invalid(parameter, format!("The parameter {parameter} is not valid: {error}."))
}

/// A page by token: where it begins and how many items it has.
pub(crate) fn page_by_token(
    next_token: Option<&str>,
    max_results: Option<i64>,
    default: i64,
    max: i64,
) -> Result<(Option<Cursor>, i64), ApiError> {
    let limit = max_results.unwrap_or(default);
    if !(1..=max).contains(&limit) {
        return Err(page_error(&PageError::Size { max }, "MaxResults"));
    }
    let after = Cursor::from_token(next_token).map_err(|error| page_error(&error, "NextToken"))?;
    Ok((after, limit))
}

/// A stored moment in one of the provider's forms.
pub(crate) fn shown_time(at_ms: i64, format: TimeFormat) -> String {
    creel_wire::time::from_epoch_ms(at_ms).map(|at| format.write(at)).unwrap_or_default()
}

/// The text of an error as the beginning of a sentence.
pub(crate) fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// The texts of an error and its causes, outermost first, for one log line.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// The output as a JSON object.
fn encode<T: serde::Serialize>(output: &T) -> Result<Bytes, ApiError> {
    serde_json::to_vec(output).map(Bytes::from).map_err(|error| internal(&error))
}
