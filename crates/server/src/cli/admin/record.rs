//! `creel admin record`: writes down what the provider's own service answers, for the conformance tests to replay.
//!
//! It stands between an SDK and the real endpoint: takes any signature (checking only that the caller knows the key id
//! that was printed, for other users of the machine reach the port too), signs anew with the key of the environment, and
//! appends one JSON line for each call. What is secret or personal never reaches the file; see [`redact`].

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::response::{IntoResponse, Response};
use creel_control::clock::SystemClock;
use creel_wire::params::Params;
use creel_wire::secret::Secret;
use http::{HeaderMap, StatusCode, Uri, header};
use serde_json::{Map, Value, json};

use crate::cli::client::{ApiClient, Credentials};
use crate::cli::{UsageError, environment, print_line};
use crate::http::{BODY_BYTES_MAX, JSON, error_body};
use crate::rpc::PROTOCOL_PARAMS;

const KEY_ID: &str = "ALIBABA_CLOUD_ACCESS_KEY_ID";
const KEY_SECRET: &str = "ALIBABA_CLOUD_ACCESS_KEY_SECRET";
/// What stands in the place of a secret.
const REDACTED: &str = "REDACTED";
/// Endings of names whose values are secret or personal, in lower case.
const SECRET_ENDINGS: &[&str] = &[
    "secret",
    "password",
    "token",
    "apikey",
    "accesskey",
    "accesskeyid",
    "aeskey",
    "privatekey",
    "encryptionkey",
    "credential",
    "authcode",
    "email",
    "phone",
    "mobile",
    "aliuid",
    "wyid",
];
/// Names that end like a secret and are none: they link one call to the next.
const NO_SECRETS: &[&str] = &["nexttoken", "clienttoken"];

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The real service, such as https://ecd.cn-hangzhou.aliyuncs.com; it is called with the key in
    /// ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET
    #[arg(long, value_name = "URL")]
    endpoint: String,
    /// Where SDKs are to send their calls
    #[arg(long, value_name = "ADDRESS", default_value_t = SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))]
    listen: SocketAddr,
    /// File that calls are appended to, one JSON object a line
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

struct Recorder {
    client: ApiClient,
    /// What callers must give as their key id.
    password: String,
    /// Texts that are written nowhere, whatever their name.
    hidden: Vec<Secret>,
    out: Mutex<File>,
}

/// One call as it stands in the file.
struct Call {
    version: String,
    action: String,
    query: Vec<(String, String)>,
    form: Vec<(String, String)>,
}

/// Records until the process is told to end.
pub(super) async fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let key = |name: &str| {
        let value = environment(name).filter(|value| !value.is_empty());
        value.ok_or_else(|| {
            UsageError(format!("set {KEY_ID} and {KEY_SECRET} to the key to call {} with", args.endpoint))
        })
    };
    let (id, secret) = (key(KEY_ID)?, Secret::new(key(KEY_SECRET)?));
    let credentials = Credentials {
        endpoint: args.endpoint.clone(),
        access_key_id: id.clone(),
        access_key_secret: secret.clone(),
    };
    let out = OpenOptions::new().create(true).append(true).open(&args.out);
    let recorder = Arc::new(Recorder {
        client: ApiClient::new(credentials, Arc::new(SystemClock))?,
        password: format!("record-{}", creel_control::id_gen::random_text(24)),
        hidden: vec![Secret::new(id), secret],
        out: Mutex::new(out.with_context(|| format!("opening {}", args.out.display()))?),
    });
    let listener = tokio::net::TcpListener::bind(args.listen).await.context("listening")?;
    let address = listener.local_addr().context("reading the address")?;
    print_line(
        &json!({"event": "ready", "endpoint": address.to_string(), "access_key_id": recorder.password})
            .to_string(),
    )?;
    let router =
        Router::new().fallback(pass_on).layer(DefaultBodyLimit::max(BODY_BYTES_MAX)).with_state(recorder);
    // Where the signals cannot be watched, there is nothing to wait for.
    let stop = async { drop(crate::cli::echo_llm::told_to_end().await) };
    axum::serve(listener, router).with_graceful_shutdown(stop).await.context("serving")?;
    Ok(ExitCode::SUCCESS)
}

async fn pass_on(
    State(recorder): State<Arc<Recorder>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let call = match Call::read(&recorder.password, &uri, &headers, &body) {
        Ok(call) => call,
        Err(problem) => return refuse(StatusCode::BAD_REQUEST, problem),
    };
    match recorder.client.exchange(&call.version, &call.action, &call.query, &call.form).await {
        Ok((status, answer)) => match recorder.write(&call, status, &answer) {
            Ok(()) => (status, [(header::CONTENT_TYPE, JSON)], answer.to_string()).into_response(),
            Err(error) => {
                refuse(StatusCode::INTERNAL_SERVER_ERROR, &format!("Writing the recording failed: {error}."))
            }
        },
        Err(error) => refuse(StatusCode::BAD_GATEWAY, &format!("No answer to record: {error}.")),
    }
}

fn refuse(status: StatusCode, message: &str) -> Response {
    (status, [(header::CONTENT_TYPE, JSON)], error_body("", "", "RecordingFailed", message)).into_response()
}

impl Call {
    /// Reads what was asked, without the protocol's own parameters: those are made anew.
    fn read(password: &str, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Result<Self, &'static str> {
        let query =
            Params::decode(uri.query().unwrap_or_default(), &[]).map_err(|_| "The query cannot be read.")?;
        let form = Params::decode("", body).map_err(|_| "The body is no form.")?;
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let key_id = match header("authorization") {
            Some(text) => text
                .split_once("Credential=")
                .map(|(_, rest)| rest.split(',').next().unwrap_or_default().to_owned()),
            None => query.get("AccessKeyId").map(str::to_owned),
        };
        if key_id.as_deref() != Some(password) {
            return Err(
                "Use the access_key_id of the ready line as the key id; the key's secret may be anything.",
            );
        }
        let of =
            |name: &str, parameter: &str| header(name).or_else(|| query.get(parameter).map(str::to_owned));
        let pairs = |params: &Params| {
            let own = params.iter().filter(|(name, _)| !PROTOCOL_PARAMS.contains(name));
            own.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
        };
        Ok(Self {
            version: of("x-acs-version", "Version").ok_or("The call names no version.")?,
            action: of("x-acs-action", "Action").ok_or("The call names no action.")?,
            query: pairs(&query),
            form: pairs(&form),
        })
    }
}

impl Recorder {
    fn write(&self, call: &Call, status: StatusCode, answer: &Value) -> std::io::Result<()> {
        let object = |pairs: &[(String, String)]| {
            pairs
                .iter()
                .map(|(name, value)| (name.clone(), Value::from(value.as_str())))
                .collect::<Map<_, _>>()
        };
        let mut line = json!({
            "version": call.version, "action": call.action, "query": object(&call.query), "form": object(&call.form),
            "status": status.as_u16(), "answer": answer,
        });
        redact(&mut line);
        let mut line = line.to_string();
        for hidden in &self.hidden {
            line = line.replace(hidden.expose(), REDACTED);
        }
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(out, "{line}")
    }
}

/// Replaces the values of secret and personal names, also in texts that are JSON themselves, such as `Config`.
fn redact(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, inner) in fields {
                if is_secret(name) && !inner.is_null() {
                    *inner = Value::from(REDACTED);
                } else {
                    redact(inner);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(redact),
        Value::String(text) => {
            if let Ok(mut inner @ (Value::Object(_) | Value::Array(_))) = serde_json::from_str::<Value>(text)
            {
                redact(&mut inner);
                *text = inner.to_string();
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// By the last part of a name, without its index: `Users.1.Email`.
fn is_secret(name: &str) -> bool {
    let part = name.rsplit('.').find(|part| !part.bytes().all(|byte| byte.is_ascii_digit())).unwrap_or(name);
    let plain: String =
        part.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    !NO_SECRETS.contains(&plain.as_str()) && SECRET_ENDINGS.iter().any(|ending| plain.ends_with(ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_replaced_by_name_wherever_they_stand() {
        let mut line = json!({
            "query": {"Config": "{\"apiKey\":\"sk-1\",\"baseUrl\":\"https://a\"}", "Users.1.Email": "a@b", "NextToken": "n"},
            "form": {"AppSecret": "s", "Name": "[not json"},
            "answer": {"SecurityToken": "t", "Data": [{"Password": "p", "Id": 7}]},
        });
        redact(&mut line);
        let wanted = json!({
            "query": {"Config": "{\"apiKey\":\"REDACTED\",\"baseUrl\":\"https://a\"}", "Users.1.Email": REDACTED, "NextToken": "n"},
            "form": {"AppSecret": REDACTED, "Name": "[not json"},
            "answer": {"SecurityToken": REDACTED, "Data": [{"Password": REDACTED, "Id": 7}]},
        });
        assert_eq!(line, wanted);
    }

    #[test]
    fn only_who_knows_the_printed_id_is_served() {
        let read = |authorization: &str, query: &str| {
            let mut headers = HeaderMap::new();
            for (name, value) in
                [("authorization", authorization), ("x-acs-action", "A"), ("x-acs-version", "V")]
            {
                if !value.is_empty() {
                    headers.insert(name, value.parse().unwrap());
                }
            }
            Call::read("record-x", &format!("/?{query}").parse().unwrap(), &headers, b"B=2")
                .map(|call| call.query)
        };
        let good =
            read("ACS3-HMAC-SHA256 Credential=record-x,SignedHeaders=a,Signature=b", "C=1&Format=json")
                .unwrap();
        assert_eq!(good, [("C".to_owned(), "1".to_owned())]);
        assert!(read("", "AccessKeyId=record-x&Signature=s").is_ok());
        for (authorization, query) in
            [("ACS3-HMAC-SHA256 Credential=record-y,a", ""), ("", "AccessKeyId=LTAI"), ("", "")]
        {
            assert!(read(authorization, query).is_err(), "{authorization} {query}");
        }
    }
}
