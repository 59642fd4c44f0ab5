//! A server in this process on either database, and signed requests whose every part a test may change.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use creel::config::{Config, DriverKind};
use creel::serve::Server;
use creel_control::clock::{Clock, FixedClock};
use creel_control::id_gen::IdGen;
use creel_testkit::TestStore;
use creel_wire::guest::{EnrollRequest, EnrollResponse};
use creel_wire::params::Params;
use creel_wire::secret::Secret;
use creel_wire::sign::{Acs3Call, sign_acs3, sign_rpc1};
use creel_wire::time::TimeFormat;
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

/// The root account's access key.
pub(crate) const KEY_ID: &str = "LTAIroot";
pub(crate) const SECRET: &str = "root-secret-0123456789";
/// An operation that changes nothing, and one that does.
pub(crate) const READ: (&str, &str) = ("2026-11-24", "DescribeAgentMessages");
pub(crate) const WRITE: (&str, &str) = ("2020-09-30", "CreateSimpleOfficeSite");

const FORM: &str = "application/x-www-form-urlencoded";

/// A server over a test's database and clock.
pub(crate) struct TestApp {
    pub(crate) server: Server,
    pub(crate) data_dir: Arc<tempfile::TempDir>,
    database: String,
    clock: Arc<FixedClock>,
    ids: IdGen,
}

/// A request before it is signed.
#[derive(Clone)]
pub(crate) struct Call {
    /// Where it goes, which is also the host it is signed for.
    pub(crate) url: String,
    pub(crate) method: Method,
    pub(crate) version: String,
    pub(crate) action: String,
    pub(crate) query: String,
    pub(crate) form: String,
    pub(crate) key_id: String,
    pub(crate) secret: String,
    pub(crate) nonce: String,
    pub(crate) date: String,
    pub(crate) security_token: Option<String>,
}

/// What the server answered.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl TestApp {
    pub(crate) async fn start(t: &TestStore) -> Self {
        Self::start_in(t, Arc::new(tempfile::tempdir().expect("a temporary directory"))).await
    }

    /// Again in the data directory of a server before.
    pub(crate) async fn start_in(t: &TestStore, data_dir: Arc<tempfile::TempDir>) -> Self {
        Self::start_with(t, data_dir, |_| ()).await
    }

    /// With a configuration that differs from the default.
    pub(crate) async fn start_with(
        t: &TestStore,
        data_dir: Arc<tempfile::TempDir>,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let mut config = Config {
            data_dir: data_dir.path().to_owned(),
            admin_listen: any,
            agent_listen: any,
            database: Some(t.url.clone()),
            driver: DriverKind::None,
            ..Config::default()
        };
        let key = (KEY_ID.parse().expect("a key id"), Secret::new(SECRET.to_owned()));
        config.environment.root_access_key = Some(key);
        change(&mut config);
        let server = Server::start(config, t.clock.clone()).await.expect("the server starts");
        Self { server, data_dir, database: t.url.clone(), clock: t.clock.clone(), ids: t.ids.clone() }
    }

    /// `127.0.0.1:PORT` of the admin listener.
    pub(crate) fn host(&self) -> &str {
        self.server.admin_url().trim_start_matches("http://")
    }

    /// The address of the database.
    pub(crate) fn database(&self) -> &str {
        &self.database
    }

    /// A call of the root account, now, with a new nonce and without parameters.
    pub(crate) fn call(&self, (version, action): (&str, &str)) -> Call {
        Call {
            url: self.server.admin_url().to_owned(),
            method: Method::POST,
            version: version.to_owned(),
            action: action.to_owned(),
            query: String::new(),
            form: String::new(),
            key_id: KEY_ID.to_owned(),
            secret: SECRET.to_owned(),
            nonce: self.ids.request_id(),
            date: TimeFormat::Seconds.write(self.clock.now()),
            security_token: None,
        }
    }

    /// Calls an operation with its parameters in the query.
    pub(crate) async fn get(&self, operation: (&str, &str), query: &str) -> Answer {
        let mut call = self.call(operation);
        query.clone_into(&mut call.query);
        self.send(call.acs3()).await
    }

    /// Exchanges an enrolment token for a guest's identity.
    pub(crate) async fn enroll(&self, request: &EnrollRequest) -> EnrollResponse {
        let body = Full::from(serde_json::to_vec(request).expect("a request is JSON"));
        let url = format!("{}/guest/v1/enroll", self.server.agent_url());
        let request = Request::post(url).header("content-type", "application/json").body(body);
        let answer = exchange(request.expect("a request"), false).await;
        serde_json::from_value(answer.body).expect("an enrolment")
    }

    /// Calls the gateway as the agent that holds this virtual key: with a body by POST, else by GET.
    pub(crate) async fn gateway(&self, virtual_key: &Secret, path: &str, body: Option<&Value>) -> Answer {
        let request = Request::builder()
            .method(if body.is_some() { Method::POST } else { Method::GET })
            .uri(format!("{}{path}", self.server.agent_url()))
            .header("authorization", format!("Bearer {}", virtual_key.expose()))
            .header("content-type", "application/json")
            .body(Full::from(body.map(Value::to_string).unwrap_or_default()));
        exchange(request.expect("a request"), false).await
    }

    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        exchange(request, false).await
    }

    pub(crate) async fn send_http2(&self, request: Request<Full<Bytes>>) -> Answer {
        exchange(request, true).await
    }
}

async fn exchange(mut request: Request<Full<Bytes>>, http2: bool) -> Answer {
    if http2 {
        // HTTP/2 has the authority of the address in its place.
        request.headers_mut().remove("host");
    }
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).http2_only(http2).build_http();
    let response = client.request(request).await.expect("the server answers");
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = response.into_body().collect().await.expect("the answer ends").to_bytes();
    Answer { status, headers, body: serde_json::from_slice(&body).expect("the answer is JSON") }
}

impl Call {
    fn host(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    fn request(&self, query: &str, headers: Vec<(String, String)>) -> Request<Full<Bytes>> {
        let uri = if query.is_empty() { format!("{}/", self.url) } else { format!("{}/?{query}", self.url) };
        let mut request = Request::builder().method(self.method.clone()).uri(uri);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        request.body(Full::from(self.form.clone())).expect("a request")
    }

    /// Signed as today's SDKs do.
    pub(crate) fn acs3(&self) -> Request<Full<Bytes>> {
        let call = Acs3Call {
            method: self.method.as_str(),
            host: self.host(),
            version: &self.version,
            action: &self.action,
            query: &self.query,
            body: self.form.as_bytes(),
            content_type: (!self.form.is_empty()).then_some(FORM),
            date: &self.date,
            nonce: &self.nonce,
            security_token: self.security_token.as_deref(),
        };
        let secret = Secret::new(self.secret.clone());
        self.request(&self.query, sign_acs3(&call, &self.key_id, &secret).expect("the call can be signed"))
    }

    /// Signed as the older SDKs do, everything in the query.
    pub(crate) fn rpc1(&self) -> Request<Full<Bytes>> {
        let mut query = form_urlencoded::Serializer::new(self.query.clone());
        query.extend_pairs([
            ("AccessKeyId", self.key_id.as_str()),
            ("Action", &self.action),
            ("Format", "JSON"),
            ("SignatureMethod", "HMAC-SHA1"),
            ("SignatureNonce", &self.nonce),
            ("SignatureVersion", "1.0"),
            ("Timestamp", &self.date),
            ("Version", &self.version),
        ]);
        if let Some(token) = &self.security_token {
            query.append_pair("SecurityToken", token);
        }
        let unsigned = query.finish();
        let params = Params::decode(&unsigned, self.form.as_bytes()).expect("valid parameters");
        let signature = sign_rpc1(self.method.as_str(), &params, &Secret::new(self.secret.clone()));
        let signed = form_urlencoded::Serializer::new(unsigned).append_pair("Signature", &signature).finish();
        let mut headers = vec![("host".to_owned(), self.host().to_owned())];
        if !self.form.is_empty() {
            headers.push(("content-type".to_owned(), FORM.to_owned()));
        }
        self.request(&signed, headers)
    }
}

impl Answer {
    /// The code of an error, empty for a success.
    pub(crate) fn code(&self) -> &str {
        self.body["Code"].as_str().unwrap_or_default()
    }

    #[track_caller]
    pub(crate) fn assert_ok(&self) {
        assert_eq!(self.status, 200, "{}", self.body);
        assert_eq!(self.body["RequestId"].as_str().map(str::len), Some(36), "{}", self.body);
    }

    /// Fails unless this is the documented error.
    #[track_caller]
    pub(crate) fn assert_refused(&self, status: u16, code: &str) {
        assert_eq!((self.status, self.code()), (status, code), "{}", self.body);
        assert_eq!(self.headers["content-type"], "application/json;charset=utf-8");
        for field in ["RequestId", "HostId", "Message", "Recommend"] {
            assert!(self.body[field].is_string(), "{field} of {}", self.body);
        }
        assert_eq!(self.body["RequestId"].as_str().map(str::len), Some(36), "{}", self.body);
    }
}
