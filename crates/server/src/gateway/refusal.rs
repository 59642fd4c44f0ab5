//! What the gateway answers in its own words.
//!
//! An agent shows hardly any error text to its person and stops using a key or provider for minutes after 401, 402
//! and 403; a complete answer of an assistant it shows word for word, and goes on. So what an agent's person must
//! know is told in that form, while programs of people get HTTP errors. The measurements are in
//! `docs/adr/0004-refusals-to-agents.md`.

use bytes::Bytes;
use creel_llm::openai::error::{ErrorBody, Notice};
use http::header::{self, HeaderName, HeaderValue};
use http::{Response, StatusCode};

use super::ports::Refusal;

/// Tells a program that an assistant's text is ours and which refusal it stands for.
const REFUSAL_HEADER: HeaderName = HeaderName::from_static("x-creel-refusal");

/// Why an authenticated call is not made, or why its upstream's answer is not passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Denial {
    /// No model group is bound to the runtime.
    NoGroup,
    /// The group does not have the model.
    ModelNotInGroup,
    /// Several providers of the group have it.
    ModelAmbiguous,
    /// The ledger says no.
    Ledger(Refusal),
    /// The upstream refuses the operator's key or account.
    UpstreamCredentials,
}

impl Denial {
    /// What the reader should know and do.
    fn text(self) -> &'static str {
        match self {
            Self::NoGroup => {
                "No models are assigned to this agent. Ask your administrator to bind a model group."
            }
            Self::ModelNotInGroup => {
                "The requested model is not among the models that your administrator allows for this agent."
            }
            Self::ModelAmbiguous => {
                "More than one provider offers the requested model. Name it as provider/model."
            }
            Self::Ledger(Refusal::QuotaSpent) => {
                "The credit quota of this agent is used up. Ask your administrator to raise it, or wait until it renews."
            }
            Self::Ledger(Refusal::PacksSpent) => {
                "Your organisation's credits are used up. Ask your administrator to add credits."
            }
            Self::Ledger(Refusal::NoPrice) => {
                "The requested model has no price, so it cannot be billed. Ask your administrator to set one."
            }
            Self::Ledger(Refusal::Unavailable) => {
                "The gateway cannot record this call now. Try again in a moment."
            }
            Self::UpstreamCredentials => {
                "The model provider does not accept your organisation's credentials or has stopped its account. \
                 Ask your administrator to check the provider's key."
            }
        }
    }

    /// Status, OpenAI's type, and the code that programs match on.
    fn class(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::NoGroup => (StatusCode::FORBIDDEN, "permission_error", "no_model_group"),
            Self::ModelNotInGroup => (StatusCode::FORBIDDEN, "permission_error", "model_not_allowed"),
            Self::ModelAmbiguous => (StatusCode::BAD_REQUEST, "invalid_request_error", "model_ambiguous"),
            Self::Ledger(Refusal::QuotaSpent) => {
                (StatusCode::TOO_MANY_REQUESTS, "insufficient_quota", "agent_quota_spent")
            }
            Self::Ledger(Refusal::PacksSpent) => {
                (StatusCode::PAYMENT_REQUIRED, "insufficient_quota", "credits_spent")
            }
            Self::Ledger(Refusal::NoPrice) => {
                (StatusCode::FORBIDDEN, "permission_error", "model_without_price")
            }
            Self::Ledger(Refusal::Unavailable) => {
                (StatusCode::SERVICE_UNAVAILABLE, "server_error", "ledger_unavailable")
            }
            Self::UpstreamCredentials => (StatusCode::BAD_GATEWAY, "server_error", "upstream_credentials"),
        }
    }

    /// The code, for logs.
    pub(crate) fn code(self) -> &'static str {
        self.class().2
    }

    /// What passes by itself within moments is worth a retry, and an agent retries a 503.
    fn is_transient(self) -> bool {
        self == Self::Ledger(Refusal::Unavailable)
    }

    /// For a person's program.
    pub(crate) fn error(self) -> Response<Bytes> {
        let (status, kind, code) = self.class();
        let param = matches!(self, Self::ModelNotInGroup | Self::ModelAmbiguous).then_some("model");
        error(status, &ErrorBody { message: self.text(), kind, param, code: Some(code) })
    }

    /// For an agent: an assistant's text, as a stream where it asked for one.
    pub(crate) fn notice(self, asked: &Asked<'_>) -> Response<Bytes> {
        if self.is_transient() {
            return self.error();
        }
        let notice = Notice { id: asked.id, created: asked.created_s, model: asked.model, text: self.text() };
        let (body, content_type) = match asked.form {
            Form::Whole => (notice.body(), "application/json"),
            Form::Stream { include_usage } => (notice.stream(include_usage), "text/event-stream"),
        };
        let mut response = Response::new(Bytes::from(body));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(REFUSAL_HEADER, HeaderValue::from_static(self.code()));
        response
    }
}

/// How the client wants its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// As one body.
    Whole,
    /// As a stream.
    Stream {
        /// With the usage at its end.
        include_usage: bool,
    },
}

/// What a notice must repeat of the request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) id: &'a str,
    pub(crate) created_s: i64,
    pub(crate) model: &'a str,
    pub(crate) form: Form,
}

/// An error in OpenAI's shape.
pub(crate) fn error(status: StatusCode, body: &ErrorBody<'_>) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body.to_bytes()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// An error about the request itself.
pub(crate) fn invalid(status: StatusCode, message: &str, param: Option<&str>, code: &str) -> Response<Bytes> {
    error(status, &ErrorBody { message, kind: "invalid_request_error", param, code: Some(code) })
}

/// An error of the upstream or on the way there.
pub(crate) fn unavailable(status: StatusCode, message: &str, code: &str) -> Response<Bytes> {
    error(status, &ErrorBody { message, kind: "server_error", param: None, code: Some(code) })
}
