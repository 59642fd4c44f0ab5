//! A real server in this process, without agents, and signed calls of two accounts.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use creel::config::{Config, DriverKind};
use creel::serve::Server;
use creel_control::clock::{Clock, SystemClock};
use creel_control::id_gen::IdGen;
use creel_testkit::TestStore;
use creel_wire::id::AccessKeyId;
use creel_wire::secret::Secret;
use creel_wire::sign::{Acs3Call, sign_acs3};
use creel_wire::time::TimeFormat;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

/// Whose key signs a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tenant {
    Root,
    Other,
}

/// What a call answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl Answer {
    /// The body of a success.
    pub(crate) fn ok(self) -> Value {
        assert_eq!(self.status, 200, "{}", self.body);
        assert!(self.body["RequestId"].is_string(), "{}", self.body);
        self.body
    }

    /// Status and code of an error, whose message is a sentence.
    pub(crate) fn refused(self) -> (u16, String) {
        let message = self.body["Message"].as_str().unwrap_or_default();
        assert!(self.status >= 400 && message.ends_with('.'), "{} {}", self.status, self.body);
        (self.status, self.body["Code"].as_str().unwrap_or_default().to_owned())
    }
}

/// The server and who may call it; ends with the test.
pub(crate) struct Api {
    server: Server,
    keys: [(String, Secret); 2],
    ids: IdGen,
    _directory: tempfile::TempDir,
}

impl Api {
    /// Starts a server on free ports with an empty SQLite database, after `change` to its configuration.
    pub(crate) async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let root =
            (AccessKeyId::parse("LTAIroot").unwrap(), Secret::new("root-secret-0123456789".to_owned()));
        let mut config = Config {
            data_dir: directory.path().to_owned(),
            admin_listen: any,
            agent_listen: any,
            driver: DriverKind::None,
            ..Config::default()
        };
        config.environment.root_access_key = Some(root.clone());
        change(&mut config);
        let server = Server::start(config, Arc::new(SystemClock)).await.unwrap();
        let other = server.accounts().create("other").await.unwrap();
        let other = server.accounts().create_key(&other.id).await.unwrap();
        Self {
            server,
            keys: [(root.0.to_string(), root.1), (other.id.to_string(), other.secret)],
            ids: IdGen::new(Arc::new(SystemClock)),
            _directory: directory,
        }
    }

    /// With the default configuration.
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// With the default configuration, over the database of a test that runs on both.
    pub(crate) async fn over(t: &TestStore) -> Self {
        Self::start_with(|config| config.database = Some(t.url.clone())).await
    }

    /// A call of the root account, its parameters in the body.
    pub(crate) async fn call(&self, version: &str, action: &str, params: &[(&str, &str)]) -> Answer {
        self.call_as(Tenant::Root, version, action, params).await
    }

    /// A call of one of the accounts.
    pub(crate) async fn call_as(
        &self,
        tenant: Tenant,
        version: &str,
        action: &str,
        params: &[(&str, &str)],
    ) -> Answer {
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(params).finish();
        let host = self.server.admin_url().trim_start_matches("http://");
        let (key_id, secret) = &self.keys[usize::from(tenant == Tenant::Other)];
        let call = Acs3Call {
            method: "POST",
            host,
            version,
            action,
            query: "",
            body: form.as_bytes(),
            content_type: Some("application/x-www-form-urlencoded"),
            date: &TimeFormat::Seconds.write(SystemClock.now()),
            nonce: &self.ids.request_id(),
            security_token: None,
        };
        let mut request = Request::post(format!("{}/", self.server.admin_url()));
        for (name, value) in sign_acs3(&call, key_id, secret).unwrap() {
            request = request.header(name, value);
        }
        let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
        let response = client.request(request.body(Full::from(form.clone())).unwrap()).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        Answer { status, body: serde_json::from_slice(&body).unwrap() }
    }
}
