//! What the gateway answers in its own words.
//!
//! An agent shows hardly any error text to its person and stops using a key or provider for minutes after 401, 402
//! and 403; a complete answer of an assistant it shows word for word, and goes on. So what an agent's person must
//! know is told in that form, while programs of people get HTTP errors. The measurements are in
//! `docs/adr/0004-refusals-to-agents.md`.

use std::borrow::Cow;

use bytes::Bytes;
use creel_control::call_limit::LimitKind;
use creel_llm::dialect::Dialect;
use creel_llm::error::ErrorBody;
use creel_llm::notice::Notice;
use creel_llm::request::Request;
use creel_wire::id::CallId;
use http::header::{self, HeaderName, HeaderValue};
use http::{Response, StatusCode};

use super::ports::Refusal;

/// Tells a program that an assistant's text is ours and which refusal it stands for.
const REFUSAL_HEADER: HeaderName = HeaderName::from_static("x-creel-refusal");

/// An error of ours, not yet in any dialect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) status: StatusCode,
    /// In OpenAI's words.
    kind: &'static str,
    /// What programs match on.
    code: &'static str,
    /// What the reader should know and do.
    text: Cow<'static, str>,
    /// The member of the request at fault.
    param: Option<String>,
    /// When to come again, in seconds.
    retry_after_s: Option<i64>,
}

impl Problem {
    /// One of the request itself.
    pub(crate) fn invalid(
        status: StatusCode,
        code: &'static str,
        text: impl Into<Cow<'static, str>>,
    ) -> Self {
        let kind = "invalid_request_error";
        Self { status, kind, code, text: text.into(), param: None, retry_after_s: None }
    }

    /// One of the upstream, or on the way there.
    pub(crate) fn unavailable(status: StatusCode, code: &'static str, text: &'static str) -> Self {
        Self { status, kind: "server_error", code, text: text.into(), param: None, retry_after_s: None }
    }

    /// The same, with a time after which to come again.
    pub(crate) fn after(self, seconds: i64) -> Self {
        Self { retry_after_s: Some(seconds), ..self }
    }

    /// The upstream takes no more calls for a while.
    pub(crate) fn busy(text: &'static str) -> Self {
        let (status, code) = (StatusCode::TOO_MANY_REQUESTS, "upstream_busy");
        Self { status, kind: "rate_limit_error", code, text: text.into(), param: None, retry_after_s: None }
    }

    /// The same, about this member of the request.
    pub(crate) fn about(self, param: Option<&str>) -> Self {
        Self { param: param.map(str::to_owned), ..self }
    }

    /// The code, for logs.
    pub(crate) fn code(&self) -> &'static str {
        self.code
    }

    pub(crate) fn body(&self) -> ErrorBody<'_> {
        ErrorBody {
            message: &self.text,
            kind: self.kind,
            param: self.param.as_deref(),
            code: Some(self.code),
        }
    }

    pub(crate) fn response(&self, dialect: Dialect) -> Response<Bytes> {
        let mut response = error(dialect, self.status, &self.body());
        if self.status == StatusCode::PAYLOAD_TOO_LARGE {
            // What was not read is not worth reading.
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

/// Why an authenticated call is not made, or why its upstream's answer is not passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Denial {
    /// No model group is bound to the runtime.
    NoGroup,
    /// The group does not have the model.
    ModelNotInGroup,
    /// Several providers of the group have it.
    ModelAmbiguous,
    /// The model's provider does not speak the request's dialect, nor one that it can be converted to.
    NoConversion,
    /// It is a smart model, and none of those that it stands for can be asked this.
    NoRoute,
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
            Self::NoConversion => {
                "The provider of the requested model speaks another dialect than this request, and there is no \
                 conversion between the two. Use a model whose provider speaks this one."
            }
            Self::NoRoute => {
                "The requested model stands for others, and none of them can be asked in the dialect of this request. \
                 Use another model, or ask your administrator."
            }
            Self::Ledger(Refusal::QuotaSpent) => {
                "The credit quota of this agent is used up. Ask your administrator to raise it, or wait until it renews."
            }
            Self::Ledger(Refusal::GroupQuotaSpent) => {
                "The credit quota of this agent's group is used up. Ask your administrator to raise it, or wait until it \
                 renews."
            }
            Self::Ledger(Refusal::PacksSpent) => {
                "Your organisation's credits are used up. Ask your administrator to add credits."
            }
            Self::Ledger(Refusal::NoPrice) => {
                "The requested model has no price, so it cannot be billed. Ask your administrator to set one."
            }
            Self::Ledger(Refusal::Limited(excess)) => match excess.kind {
                LimitKind::RequestsPerMinute => {
                    "Too many requests within a minute: your administrator limits them. Wait a moment and try again."
                }
                LimitKind::TokensPerMinute => {
                    "Too many tokens within a minute: your administrator limits them. Wait a moment and try again."
                }
                LimitKind::ConcurrentCalls => {
                    "Too many requests at the same time: your administrator limits them. Try again when one has ended."
                }
            },
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
            Self::NoConversion => (StatusCode::BAD_REQUEST, "invalid_request_error", "no_conversion"),
            Self::NoRoute => (StatusCode::BAD_REQUEST, "invalid_request_error", "no_route"),
            Self::Ledger(Refusal::QuotaSpent) => {
                (StatusCode::TOO_MANY_REQUESTS, "insufficient_quota", "agent_quota_spent")
            }
            Self::Ledger(Refusal::GroupQuotaSpent) => {
                (StatusCode::TOO_MANY_REQUESTS, "insufficient_quota", "group_quota_spent")
            }
            Self::Ledger(Refusal::PacksSpent) => {
                (StatusCode::PAYMENT_REQUIRED, "insufficient_quota", "credits_spent")
            }
            Self::Ledger(Refusal::NoPrice) => {
                (StatusCode::FORBIDDEN, "permission_error", "model_without_price")
            }
            Self::Ledger(Refusal::Limited(excess)) => {
                let code = match excess.kind {
                    LimitKind::RequestsPerMinute => "requests_per_minute",
                    LimitKind::TokensPerMinute => "tokens_per_minute",
                    LimitKind::ConcurrentCalls => "concurrent_calls",
                };
                (StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", code)
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
    pub(crate) fn problem(self) -> Problem {
        let (status, kind, code) = self.class();
        let about_model =
            matches!(self, Self::ModelNotInGroup | Self::ModelAmbiguous | Self::NoConversion | Self::NoRoute);
        let param = about_model.then(|| "model".to_owned());
        let retry_after_s = match self {
            Self::Ledger(Refusal::Limited(excess)) => Some(excess.wait_seconds),
            _ => None,
        };
        Problem { status, kind, code, text: self.text().into(), param, retry_after_s }
    }

    /// For an agent: an assistant's text, as a stream where it asked for one. Where answers are no texts, and for what
    /// is worth a retry, an error.
    pub(crate) fn notice(self, asked: &Request, call: &CallId, created_s: i64) -> Response<Bytes> {
        let dialect = asked.dialect();
        let id = answer_id(dialect, call);
        let notice = Notice { id: &id, created: created_s, model: asked.model(), text: self.text() };
        let body = notice.answer(dialect, asked.stream(), asked.include_usage());
        let Some(body) = body.filter(|_| !self.is_transient()) else {
            return self.problem().response(dialect);
        };
        let content_type = if asked.stream() { "text/event-stream" } else { "application/json" };
        let mut response = Response::new(Bytes::from(body));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(REFUSAL_HEADER, HeaderValue::from_static(self.code()));
        response
    }
}

/// The id of an answer that has none from its upstream.
pub(crate) fn answer_id(dialect: Dialect, call: &CallId) -> String {
    let kind = match dialect {
        Dialect::Chat | Dialect::Embeddings => "chatcmpl-",
        Dialect::Messages | Dialect::CountTokens => "msg_",
        Dialect::Responses => "resp_",
    };
    format!("{kind}{call}")
}

/// A JSON answer.
pub(crate) fn json(body: &serde_json::Value) -> Response<Bytes> {
    json_bytes(StatusCode::OK, body.to_string().into_bytes())
}

/// An error in a dialect's shape.
pub(crate) fn error(dialect: Dialect, status: StatusCode, body: &ErrorBody<'_>) -> Response<Bytes> {
    json_bytes(status, body.body(dialect, status.as_u16()))
}

fn json_bytes(status: StatusCode, body: Vec<u8>) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
