//! Whether the caller may do what it asks. The dispatcher asks before it calls a handler, so no handler can forget to.

use creel_control::access::Actor;
use creel_control::policy::Resource;
use creel_control::principal::{PrincipalKind, Refusal};
use creel_control::runtime::RuntimeFilter;
use creel_wire::error::{AccessDeniedDetail, ApiError, ErrorCode};
use creel_wire::ops::{IdSource, OpSpec, ResourceSpec};
use creel_wire::params::Params;

use super::authenticate::Caller;
use crate::app::App;
use crate::ops;

/// Longest id that is looked at, in bytes; nothing has a longer one.
const ID_BYTES_MAX: usize = 256;
/// Type of runtimes, which have two ids each.
const DESKTOP: &str = "desktop";

/// Refuses a call that the caller's policies do not allow on everything that it is about.
pub(super) async fn check(
    app: &App,
    caller: &Caller,
    actor: &Actor,
    spec: &OpSpec,
    params: &Params,
) -> Result<(), ApiError> {
    if actor.is_root() && caller.session.is_none() {
        return Ok(());
    }
    let mut resources = Vec::new();
    for resource in spec.resources {
        let ids = ids(app, caller, actor, spec, resource, params).await?;
        resources.extend(ids.iter().map(|id| named(app, actor, resource, id)));
    }
    if let (true, Some(first)) = (resources.is_empty(), spec.resources.first()) {
        resources.push(named(app, actor, first, ""));
    }
    let refusal = match caller.known.check(caller.session.as_ref(), spec.permission, &resources) {
        Ok(()) => return Ok(()),
        Err(refusal) => refusal,
    };
    Err(denied(caller, actor, spec.permission, refusal))
}

/// An empty id is all of the type.
fn named<'a>(app: &'a App, actor: &'a Actor, resource: &ResourceSpec, id: &str) -> Resource<'a> {
    Resource::one(resource.product, &app.config.region, actor.account_id.as_str(), resource.kind, id)
}

/// The ids of one type that a call is about.
async fn ids(
    app: &App,
    caller: &Caller,
    actor: &Actor,
    spec: &OpSpec,
    resource: &ResourceSpec,
    params: &Params,
) -> Result<Vec<String>, ApiError> {
    let mut ids = spec.resource_ids(resource, params)?;
    if let Some(id) = ids.iter().find(|id| id.len() > ID_BYTES_MAX) {
        let shown: String = id.chars().filter(char::is_ascii_alphanumeric).take(20).collect();
        let message =
            format!("An id has at most {ID_BYTES_MAX} bytes; the one that begins with {shown} is longer.");
        return Err(ApiError::new(ErrorCode::INVALID_PARAMETER, message));
    }
    if ids.is_empty() {
        match resource.ids {
            IdSource::OptionalParam(_) => {}
            IdSource::ParamOrCaller(_) => ids.push(caller.known.principal.name.clone()),
            IdSource::All | IdSource::Param(_) | IdSource::Field(..) => ids.push(String::new()),
        }
    }
    if resource.kind == DESKTOP {
        use_inner_ids(app, actor, &mut ids).await?;
    }
    Ok(ids)
}

/// Policies name runtimes by their `ecd-…` ids; whoever names one by its `jvs-…` id means the same runtime.
async fn use_inner_ids(app: &App, actor: &Actor, ids: &mut [String]) -> Result<(), ApiError> {
    let outer: Vec<String> = ids.iter().filter(|id| id.starts_with("jvs-")).cloned().collect();
    if outer.is_empty() {
        return Ok(());
    }
    let limit = i64::try_from(outer.len()).unwrap_or(i64::MAX);
    let filter = RuntimeFilter { ids: outer, ..RuntimeFilter::default() };
    let found = app.runtimes.list_after(&actor.scope(), filter, None, limit).await;
    let found = found.map_err(ops::runtime::api_error)?;
    for view in found.items {
        let Some(jvs_id) = &view.runtime.jvs_id else { continue };
        for id in ids.iter_mut().filter(|id| **id == *jvs_id.as_str()) {
            *id = view.runtime.id.to_string();
        }
    }
    Ok(())
}

fn denied(caller: &Caller, actor: &Actor, permission: &str, refusal: Refusal) -> ApiError {
    let principal = &caller.known.principal;
    let why = match &refusal.statement {
        Some(at) => format!("statement {} of policy {} denies it", at.statement, at.policy),
        None if refusal.by_session => "the policy of the temporary credentials does not allow it".to_owned(),
        None => "no policy of the caller allows it".to_owned(),
    };
    let mut error = ApiError::new(
        ErrorCode::NO_PERMISSION,
        format!(
            "{} may not do {permission} on what the request names: {why}. Ask the administrator of the account.",
            principal.name
        ),
    );
    let (policy_name, statement) = refusal.statement.map(|at| (at.policy, at.statement)).unzip();
    error.access_denied = Some(Box::new(AccessDeniedDetail {
        auth_action: permission.to_owned(),
        auth_principal_type: match principal.kind {
            PrincipalKind::Root => "RootUser",
            PrincipalKind::User => "SubUser",
            PrincipalKind::EndUser => "EndUser",
        }
        .to_owned(),
        auth_principal_display_name: principal.name.clone(),
        auth_principal_owner_id: actor.account_id.to_string(),
        no_permission_type: if policy_name.is_some() { "ExplicitDeny" } else { "ImplicitDeny" }.to_owned(),
        policy_type: if refusal.by_session { "SessionPolicy" } else { "AccountLevelIdentityBasedPolicy" }
            .to_owned(),
        policy_name,
        statement,
    }));
    error
}
