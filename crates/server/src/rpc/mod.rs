//! The API's one route: bytes in, authenticated, dispatched by (version, action), documented JSON out.
//!
//! Order of checks: method, limits, form of the signature, key, signature, time, nonce, format, operation, parameters.
//! The caller is authenticated before the operation is looked up, though the provider answers `InvalidApi.NotFound`
//! first: so a stranger learns neither which operations this installation has nor anything about their parameters.
//! Nothing that depends on the signature's content is remembered before the signature is found good.

mod answer;
mod authenticate;
mod authorize;
mod buckets;
mod limits;
mod nonces;

use std::panic::AssertUnwindSafe;

use axum::body::Body;
use bytes::Bytes;
use creel_control::access::{Actor, Member, Origin, Principal};
use creel_control::account::AccountError;
use creel_control::audit::Decision;
use creel_control::principal::PrincipalKind;
use creel_wire::error::{ApiError, ErrorCode};
use creel_wire::params::Params;
use futures_util::FutureExt;
use http::{Method, Request, Response};
use hyper::body::Incoming;
use sha2::{Digest, Sha256};

use crate::app::App;
use crate::http::{BodyError, Outcome, PeerAddress, QUERY_BYTES_MAX, read_body};
use crate::ops::{self, HANDLER_DEADLINE, Operation};
use authenticate::{Caller, authenticate};
pub(crate) use limits::Limits;
pub(crate) use nonces::Nonces;

/// Parameters that belong to the protocol, not to an operation.
pub(crate) const PROTOCOL_PARAMS: &[&str] = &[
    "AccessKeyId",
    "Action",
    "Format",
    "SecurityToken",
    "Signature",
    "SignatureMethod",
    "SignatureNonce",
    "SignatureType",
    "SignatureVersion",
    "Timestamp",
    "Version",
];

/// A request that is read whole.
#[derive(Debug)]
pub(crate) struct WholeRequest {
    pub(crate) head: http::request::Parts,
    pub(crate) body: Bytes,
}

impl WholeRequest {
    /// The query as it came.
    pub(crate) fn query(&self) -> &str {
        self.head.uri.query().unwrap_or_default()
    }
}

/// Answers one request to the API, counts it and logs it: id, action, code and duration, never what it held.
pub(crate) async fn answer(app: &App, request: Request<Incoming>) -> Response<Body> {
    let started = tokio::time::Instant::now();
    let request_id = app.ids.request_id();
    let host = answer::host(&request);
    let mut seen = Seen::default();
    let result = dispatch(app, request, &request_id, &mut seen).await;
    if let (Err(error), Some(actor)) = (&result, &seen.actor) {
        record_refusal(app, actor, error).await;
    }
    let took = started.elapsed();
    let action = seen.operation.map(|operation| operation.spec.action);
    let (code, response) = match result {
        Ok(body) => (None, answer::success(&request_id, &body)),
        Err(error) => {
            let response = answer::failure(&request_id, &host, &error);
            (Some(error.code), response)
        }
    };
    let outcome = Outcome::of_status(response.status().as_u16());
    app.metrics.count_request(action, outcome, took);
    let (action, code) = (action.unwrap_or("unknown"), code.as_deref().unwrap_or("ok"));
    let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    if outcome == Outcome::ServerError {
        tracing::info!(request.id = %request_id, action, code, took_ms, "{action} failed with {code}");
    } else {
        tracing::debug!(request.id = %request_id, action, code, took_ms, "{action} answered {code}");
    }
    response
}

/// What is known of a request by the time it is answered.
#[derive(Default)]
struct Seen {
    operation: Option<&'static Operation>,
    /// Once the caller is authenticated and the operation is known.
    actor: Option<Actor>,
}

/// Leaves a row of a call that was refused. What failed by our fault is in the log instead.
async fn record_refusal(app: &App, actor: &Actor, error: &ApiError) {
    let decision = match error.status {
        401 | 403 | 429 => Decision::Denied,
        400..=499 => Decision::Allowed,
        _ => return,
    };
    let denied = error.access_denied.as_deref();
    let statement =
        denied.and_then(|detail| Some((detail.policy_name.as_ref()?, detail.statement.as_ref()?)));
    let by = statement.map(|(policy, statement)| format!("policy/{policy}#{statement}"));
    let resources: Vec<&str> =
        [denied.map(|detail| detail.auth_action.as_str()), by.as_deref()].into_iter().flatten().collect();
    // The call fails either way, so its answer stays what it is.
    if let Err(error) = app.refusals.record(actor, decision, &error.code, &resources).await {
        let id = &actor.request_id;
        tracing::error!(request.id = %id, error = %ops::chain(&error), "the refused call {id} could not be recorded");
    }
}

/// Gives the output of the operation without RequestId. Sets `seen` as it learns.
async fn dispatch(
    app: &App,
    request: Request<Incoming>,
    request_id: &str,
    seen: &mut Seen,
) -> Result<Bytes, ApiError> {
    let request = read(request).await?;
    let params = Params::decode(request.query(), form_of(&request)?)?;
    let caller = authenticate(app, &request, &params).await?;
    check_format(&params)?;
    let operation = ops::find(&caller.version, &caller.action).ok_or_else(|| unknown_operation(&caller))?;
    seen.operation = Some(operation);
    let actor = Actor {
        account_id: caller.known.principal.account_id.clone(),
        principal: asker(&caller),
        end_user: caller.known.principal.end_user_id.clone(),
        action: operation.spec.action,
        origin: origin(&request, operation.spec.version),
        request_id: request_id.to_owned(),
        nonce: Some(caller.nonce.clone()),
        client_token: client_token(operation, &params),
        request_hash: request_hash(&params),
    };
    seen.actor = Some(actor.clone());
    app.limits.admit(&actor, app.clock.now_ms())?;
    authorize::check(app, &caller, &actor, operation.spec, &params).await?;
    run(app, operation, actor, &params).await
}

fn asker(caller: &Caller) -> Principal {
    let (key_id, principal) = (caller.key_id.clone(), &caller.known.principal);
    match principal.kind {
        PrincipalKind::Root => Principal::AccessKey(key_id),
        PrincipalKind::User | PrincipalKind::EndUser => {
            let (principal_id, name) = (principal.id.clone(), principal.name.clone());
            Principal::Member(Member { key_id, principal_id, name })
        }
    }
}

/// What the audit log keeps of where a request came from. Forwarding headers are not believed: anybody can send them.
fn origin(request: &WholeRequest, version: &'static str) -> Origin {
    let address = request.head.extensions.get::<PeerAddress>().map(|peer| peer.0.to_canonical().to_string());
    let user_agent = request.head.headers.get(http::header::USER_AGENT).and_then(|agent| agent.to_str().ok());
    Origin::new(version, address.unwrap_or_default(), user_agent.unwrap_or_default())
}

async fn read(request: Request<Incoming>) -> Result<WholeRequest, ApiError> {
    let (head, body) = request.into_parts();
    if head.method != Method::POST && head.method != Method::GET {
        return Err(ApiError::new(ErrorCode::UNSUPPORTED_HTTP_METHOD, "Use POST or GET."));
    }
    if head.uri.query().unwrap_or_default().len() > QUERY_BYTES_MAX {
        return Err(ApiError::new(
            ErrorCode::QUERY_TOO_LONG,
            format!(
                "The query holds at most {QUERY_BYTES_MAX} bytes. Send parameters as a form body instead."
            ),
        ));
    }
    match read_body(body).await {
        Ok(body) => Ok(WholeRequest { head, body }),
        Err(error @ BodyError::TooLarge) => Err(ApiError::new(
            ErrorCode::REQUEST_TOO_LARGE,
            format!("{}: at most {} bytes are taken.", sentence(error), crate::http::BODY_BYTES_MAX),
        )),
        Err(error @ BodyError::Incomplete) => Err(ApiError::new(
            ErrorCode::REQUEST_TIMEOUT,
            format!("{}. Send the request again.", sentence(error)),
        )),
    }
}

/// Accounts are only read here, so whatever fails is ours.
fn account_error(error: &AccountError) -> ApiError {
    match error {
        AccountError::Store(error) => ops::store_error(error),
        other => ops::internal(other),
    }
}

fn sentence(error: BodyError) -> &'static str {
    match error {
        BodyError::TooLarge => "The body of the request is too large",
        BodyError::Incomplete => "The body of the request did not come in time",
    }
}

/// The body as a form; SDKs send no other content type to these operations.
fn form_of(request: &WholeRequest) -> Result<&[u8], ApiError> {
    if request.body.is_empty() {
        return Ok(&[]);
    }
    let content_type = request.head.headers.get(http::header::CONTENT_TYPE);
    let is_form = content_type.is_none_or(|value| {
        let essence = value.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
        essence.trim_ascii().eq_ignore_ascii_case(b"application/x-www-form-urlencoded")
    });
    if is_form {
        return Ok(&request.body);
    }
    Err(ApiError::invalid("ContentType", "The body must be application/x-www-form-urlencoded."))
}

fn check_format(params: &Params) -> Result<(), ApiError> {
    match params.get("Format") {
        None => Ok(()),
        Some(format) if format.is_empty() || format.eq_ignore_ascii_case("json") => Ok(()),
        Some(_) => Err(ApiError::new(ErrorCode::UNSUPPORTED_FORMAT, "The parameter Format must be JSON.")),
    }
}

fn unknown_operation(caller: &Caller) -> ApiError {
    // Names are the caller's own text: shortened, and only of letters that names are made of.
    let shown = |name: &str| -> String {
        name.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(80).collect()
    };
    let (action, version) = (shown(&caller.action), shown(&caller.version));
    ApiError::new(
        ErrorCode::API_NOT_FOUND,
        format!("There is no operation {action} of version {version} here."),
    )
}

fn client_token(operation: &Operation, params: &Params) -> Option<String> {
    let token = params.get("ClientToken").filter(|token| !token.is_empty())?;
    operation.spec.takes_client_token().then(|| token.to_owned())
}

/// SHA-256 of the operation's parameters without ClientToken, in hexadecimal; lengths keep names and values apart.
fn request_hash(params: &Params) -> String {
    let mut hash = Sha256::new();
    for (name, value) in
        params.iter().filter(|(name, _)| *name != "ClientToken" && !PROTOCOL_PARAMS.contains(name))
    {
        for text in [name, value] {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text.as_bytes());
        }
    }
    hex::encode(hash.finalize())
}

async fn run(
    app: &App,
    operation: &'static Operation,
    actor: Actor,
    params: &Params,
) -> Result<Bytes, ApiError> {
    let action = operation.spec.action;
    let request_id = actor.request_id.clone();
    let call = AssertUnwindSafe((operation.call)(app, actor, params)).catch_unwind();
    match tokio::time::timeout(HANDLER_DEADLINE, call).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => {
            tracing::error!(request.id = %request_id, action, "the handler of {action} panicked");
            Err(ops::internal_text())
        }
        Err(_) => {
            tracing::error!(request.id = %request_id, action, "the handler of {action} passed its deadline");
            Err(ApiError::new(ErrorCode::SERVICE_UNAVAILABLE, "The operation took too long. Try again."))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_hash_is_of_the_operations_parameters_alone() {
        let hash = |query: &str| request_hash(&Params::decode(query, b"").unwrap());
        assert_eq!(hash("A=1&ClientToken=x&Timestamp=1&SignatureNonce=2&Signature=3"), hash("A=1"));
        assert_ne!(hash("A=1"), hash("A=2"));
        assert_ne!(hash("A=1B&C="), hash("A=1&BC="));
    }
}
