//! Uploads with what GetOssStsToken gives, on the clock of a test. `tests/test_objects.py` does the same with the official
//! object SDKs.

use std::collections::BTreeMap;

use bytes::Bytes;
use creel_control::clock::Clock;
use creel_testkit::{TestStore, both_databases};
use form_urlencoded::byte_serialize;
use hmac::digest::KeyInit;
use hmac::{Hmac, Mac};
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use jiff::SignedDuration;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::harness::{Answer, TestApp};
use crate::principal::{ours, stranger, user};

const TOKEN: (&str, &str) = ("2021-06-02", "GetOssStsToken");

/// What GetOssStsToken answered.
#[derive(Clone)]
struct Upload {
    key_id: String,
    secret: String,
    token: String,
    prefix: String,
}

impl Upload {
    fn of(answer: &Answer) -> Self {
        answer.assert_ok();
        let text = |field: &str| answer.body[field].as_str().unwrap().to_owned();
        Self {
            key_id: text("AccessKeyId"),
            secret: text("AccessKeySecret"),
            token: text("SecurityToken"),
            prefix: text("ObjectKeyPrefix"),
        }
    }
}

async fn granted(app: &TestApp) -> Upload {
    Upload::of(&app.get(TOKEN, "").await)
}

fn hmac(key: &[u8], message: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(message.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// A request whose every part a test may change before it is signed.
#[derive(Clone)]
struct Call {
    method: &'static str,
    bucket: String,
    key: String,
    query: String,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
    upload: Upload,
    region: String,
    /// Presigned for so many seconds.
    expires: Option<u32>,
}

impl Call {
    fn new(method: &'static str, upload: &Upload, name: &str, body: &[u8]) -> Self {
        Self {
            method,
            bucket: "creel-skills".to_owned(),
            key: format!("{}/{name}", upload.prefix),
            query: String::new(),
            headers: BTreeMap::new(),
            body: body.to_vec(),
            upload: upload.clone(),
            region: "cn-hangzhou".to_owned(),
            expires: None,
        }
    }

    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// Signed by version 4 at the test's time.
    fn sign(mut self, t: &TestStore, app: &TestApp) -> Request<Full<Bytes>> {
        let date = t.clock.now().strftime("%Y%m%dT%H%M%SZ").to_string();
        let scope = format!("{}/{}/oss/aliyun_v4_request", &date[..8], self.region);
        let encode = |text: &str| -> String {
            byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
        };
        let credential = format!("{}/{scope}", self.upload.key_id);
        let mut pairs: Vec<(String, String)> = self
            .query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        if let Some(seconds) = self.expires {
            for (name, value) in [
                ("x-oss-signature-version", "OSS4-HMAC-SHA256"),
                ("x-oss-date", &date),
                ("x-oss-expires", &seconds.to_string()),
                ("x-oss-credential", &credential),
                ("x-oss-security-token", &self.upload.token),
            ] {
                pairs.push((name.to_owned(), encode(value)));
            }
        } else {
            self.headers.insert("x-oss-date".to_owned(), date.clone());
            self.headers.insert("x-oss-security-token".to_owned(), self.upload.token.clone());
            self.headers.insert("x-oss-content-sha256".to_owned(), "UNSIGNED-PAYLOAD".to_owned());
        }
        pairs.sort();
        let join = |pairs: &[(String, String)]| {
            let shown = |(name, value): &(String, String)| {
                if value.is_empty() { name.clone() } else { format!("{name}={value}") }
            };
            pairs.iter().map(shown).collect::<Vec<_>>().join("&")
        };
        let path = format!("/{}/{}", self.bucket, self.key);
        let path: Vec<String> = path.split('/').map(encode).collect();
        let path = path.join("/");
        let signed: String = self
            .headers
            .iter()
            .filter(|(name, _)| {
                name.starts_with("x-oss-") || *name == "content-type" || *name == "content-md5"
            })
            .map(|(name, value)| format!("{name}:{value}\n"))
            .collect();
        let canonical = format!("{}\n{path}\n{}\n{signed}\n\nUNSIGNED-PAYLOAD", self.method, join(&pairs));
        let canonical = hex::encode(Sha256::digest(canonical.as_bytes()));
        let text = format!("OSS4-HMAC-SHA256\n{date}\n{scope}\n{canonical}");
        let first = format!("aliyun_v4{}", self.upload.secret);
        let key = [&date[..8], &self.region, "oss", "aliyun_v4_request"]
            .iter()
            .fold(first.into_bytes(), |key, part| hmac(&key, part));
        let signature = hex::encode(hmac(&key, &text));
        if self.expires.is_some() {
            pairs.push(("x-oss-signature".to_owned(), signature));
        } else {
            let authorization = format!("OSS4-HMAC-SHA256 Credential={credential},Signature={signature}");
            self.headers.insert("authorization".to_owned(), authorization);
        }
        let uri = format!("http://{}{path}?{}", app.host(), join(&pairs));
        let mut request = Request::builder().method(self.method).uri(uri);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        request.body(Full::from(self.body)).unwrap()
    }
}

struct Got {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
}

async fn send(request: Request<Full<Bytes>>) -> Got {
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let response = client.request(request).await.expect("the server answers");
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = response.into_body().collect().await.expect("the answer ends").to_bytes();
    assert_eq!(headers["x-oss-request-id"].len(), 36);
    Got { status, headers, body }
}

impl Got {
    #[track_caller]
    fn refused(&self, status: u16, code: &str) {
        let body = String::from_utf8_lossy(&self.body);
        assert_eq!(
            (self.status, body.contains(&format!("<Code>{code}</Code>"))),
            (status, true),
            "{code}: {body}"
        );
        for element in ["Message", "RequestId", "HostId", "EC"] {
            assert!(body.contains(&format!("<{element}>")), "{element}: {body}");
        }
        assert_eq!(self.headers["content-type"], "application/xml");
    }

    #[track_caller]
    fn ok(&self) {
        assert_eq!(self.status, 200, "{}", String::from_utf8_lossy(&self.body));
    }
}

both_databases! {
    async fn credentials_are_for_uploads_of_one_kind_below_one_prefix(t) {
        let app = TestApp::start(&t).await;
        let answer = app.get(TOKEN, "FileType=ICON").await;
        let icon = Upload::of(&answer);
        assert_eq!((&answer.body["Bucket"], &answer.body["OssRegion"]), (&Value::from("creel-skills"), &Value::from("oss-cn-hangzhou")));
        assert!(icon.key_id.starts_with("STS.") && icon.prefix.starts_with("icon/"));
        let skill = granted(&app).await;
        assert!(skill.prefix.starts_with("skill/"));
        app.get(TOKEN, "FileType=VIDEO").await.assert_refused(400, "InvalidFileType");
        let bob = user(&app, "bob").await;
        bob.get(&app, TOKEN, "").await.assert_refused(403, "NoPermission");

        let put = |upload: &Upload, name: &str, body: &[u8]| Call::new("PUT", upload, name, body).sign(&t, &app);
        let stored = send(put(&skill, "a b/天气.zip", b"hello")).await;
        stored.ok();
        assert_eq!(stored.headers["etag"], "\"5D41402ABC4B2A76B9719D911017C592\"");
        assert_eq!(stored.headers["x-oss-hash-crc64ecma"], "11177612005948864433");
        assert_eq!(stored.headers["content-md5"], "XUFAKrxLKna5cZ2REBfFkg==");
        let get = |upload: &Upload, name: &str| Call::new("GET", upload, name, b"");
        let got = send(get(&skill, "a b/天气.zip").sign(&t, &app)).await;
        assert_eq!((got.status, &got.body[..]), (200, &b"hello"[..]));
        let range = |text: &str| get(&skill, "a b/天气.zip").with(|call| {
            call.headers.insert("range".to_owned(), text.to_owned());
        });
        let part = send(range("bytes=1-2").sign(&t, &app)).await;
        assert_eq!((part.status, &part.body[..]), (206, &b"el"[..]));
        assert_eq!(part.headers["content-range"], "bytes 1-2/5");
        send(range("bytes=5-").sign(&t, &app)).await.refused(416, "InvalidRange");
        let head = Call::new("HEAD", &skill, "a b/天气.zip", b"");
        let headed = send(head.sign(&t, &app)).await;
        assert_eq!((headed.status, headed.headers["content-length"].as_bytes()), (200, &b"5"[..]));
        let none = send(Call::new("HEAD", &skill, "none", b"").sign(&t, &app)).await;
        assert_eq!((none.status, none.body.len()), (404, 0));
        assert!(none.headers.contains_key("x-oss-err"));
        send(get(&skill, "none").sign(&t, &app)).await.refused(404, "NoSuchKey");

        // Neither another prefix of the same account, nor another's, nor one of another kind.
        let second = granted(&app).await;
        let theirs = Upload::of(&stranger(&app).await.get(&app, TOKEN, "").await);
        for other in [&second, &theirs, &icon] {
            for method in ["PUT", "GET", "HEAD"] {
                let call = get(&skill, "a b/天气.zip").with(|call| (call.method, call.upload) = (method, other.clone()));
                let refused = send(call.sign(&t, &app)).await;
                assert_eq!(refused.status, 403, "{method}");
            }
        }
        for (name, status, code) in [
            ("../x", 400, "InvalidObjectName"),
            ("a/../../x", 400, "InvalidObjectName"),
            ("", 400, "InvalidObjectName"),
            ("a\\b", 400, "InvalidObjectName"),
            (&"x".repeat(600), 400, "InvalidObjectName"),
        ] {
            send(put(&skill, name, b"x")).await.refused(status, code);
        }
        let outside = |key: &str| Call::new("PUT", &skill, "", b"x").with(|call| key.clone_into(&mut call.key)).sign(&t, &app);
        for key in ["x", "skills/x", "uploads/x", &format!("{}x/a", skill.prefix), "/etc/passwd"] {
            send(outside(key)).await.refused(403, "AccessDenied");
        }
    }

    async fn what_is_not_signed_right_is_refused(t) {
        let app = TestApp::start(&t).await;
        let (upload, other) = (granted(&app).await, granted(&app).await);
        let call = |change: &dyn Fn(&mut Call)| {
            let mut call = Call::new("PUT", &upload, "a.zip", b"hello");
            change(&mut call);
            call.sign(&t, &app)
        };
        send(call(&|call| call.upload.secret = other.secret.clone())).await.refused(403, "SignatureDoesNotMatch");
        send(call(&|call| call.upload.token = other.token.clone())).await.refused(403, "InvalidSecurityToken");
        send(call(&|call| call.upload.token = "v1.x.y.z".to_owned())).await.refused(403, "InvalidSecurityToken");
        send(call(&|call| call.upload.key_id = "LTAIroot".to_owned())).await.refused(403, "InvalidSecurityToken");
        send(call(&|call| call.upload.token = String::new())).await.refused(403, "InvalidAccessKeyId");
        send(call(&|call| call.region = "cn-beijing".to_owned())).await.refused(400, "InvalidArgument");
        send(call(&|call| call.region = "oss-cn-hangzhou".to_owned())).await.ok();
        send(call(&|call| call.bucket = "other".to_owned())).await.refused(404, "NoSuchBucket");
        send(call(&|call| (call.method, call.key) = ("GET", String::new()))).await.refused(403, "AccessDenied");
        send(call(&|call| call.method = "DELETE")).await.refused(405, "MethodNotAllowed");
        send(call(&|call| call.method = "POST")).await.refused(405, "MethodNotAllowed");
        for query in ["acl", "tagging", "append&position=0", "x-oss-process=image", "list-type=2"] {
            send(call(&|call| query.clone_into(&mut call.query))).await.refused(501, "NotImplemented");
        }
        for header in ["x-oss-copy-source", "x-oss-callback", "x-oss-forbid-overwrite"] {
            send(call(&|call| drop(call.headers.insert(header.to_owned(), "x".to_owned())))).await
                .refused(501, "NotImplemented");
        }
        let md5 = |text: &'static str| call(&|call| drop(call.headers.insert("content-md5".to_owned(), text.to_owned())));
        send(md5("XUFAKrxLKna5cZ2REBfFkg==")).await.ok();
        send(md5("AAAAAAAAAAAAAAAAAAAAAA==")).await.refused(400, "InvalidDigest");
        send(md5("AAAA")).await.refused(400, "InvalidDigest");
        let unsigned = Request::get(format!("http://{}/creel-skills/{}/a.zip", app.host(), upload.prefix));
        send(unsigned.body(Full::default()).unwrap()).await.refused(403, "AccessDenied");
        for path in ["/creel-skills", "/creel-skills/", "/creel-skills/?list-type=2"] {
            let list = Request::get(format!("http://{}{path}", app.host())).body(Full::default()).unwrap();
            send(list).await.refused(403, "AccessDenied");
        }
        // What was refused is nowhere.
        let get = |name: &str| Call::new("GET", &upload, name, b"").sign(&t, &app);
        assert_eq!(&send(get("a.zip")).await.body[..], b"hello");
    }

    async fn credentials_end_with_their_time_and_their_principal(t) {
        let app = TestApp::start(&t).await;
        let upload = granted(&app).await;
        let put = || Call::new("PUT", &upload, "a.zip", b"hello").sign(&t, &app);
        let presigned = Call::new("PUT", &upload, "b.zip", b"hello").with(|call| call.expires = Some(600));
        let long = presigned.clone().with(|call| call.expires = Some(86_400)).sign(&t, &app);
        let (now, presigned) = (put(), presigned.sign(&t, &app));
        send(presigned.clone()).await.ok();
        t.clock.advance(SignedDuration::from_secs(600));
        send(presigned.clone()).await.ok();
        t.clock.advance(SignedDuration::from_secs(1));
        send(presigned).await.refused(403, "AccessDenied");
        send(now.clone()).await.ok();
        t.clock.advance(SignedDuration::from_secs(298));
        send(put()).await.ok();
        t.clock.advance(SignedDuration::from_secs(1));
        send(put()).await.refused(403, "SecurityTokenExpired");
        send(long).await.refused(403, "SecurityTokenExpired");

        let fresh = granted(&app).await;
        let early = Call::new("PUT", &fresh, "a.zip", b"hello").sign(&t, &app);
        t.clock.advance(SignedDuration::from_secs(-901));
        send(early.clone()).await.refused(403, "RequestTimeTooSkewed");
        t.clock.advance(SignedDuration::from_secs(1));
        send(early).await.ok();

        let alice = user(&app, "alice").await;
        ours(&app, "AttachPolicy", "PolicyName=FullAccess&PrincipalName=alice").await.assert_ok();
        let hers = Upload::of(&alice.get(&app, TOKEN, "").await);
        let put = || Call::new("PUT", &hers, "a.zip", b"hello").sign(&t, &app);
        send(put()).await.ok();
        ours(&app, "UpdatePrincipal", "PrincipalName=alice&Status=Inactive").await.assert_ok();
        send(put()).await.refused(403, "InvalidAccessKeyId");
    }

    async fn uploads_have_a_size(t) {
        let app = TestApp::start(&t).await;
        let icon = Upload::of(&app.get(TOKEN, "FileType=ICON").await);
        let most = vec![7; 1 << 20];
        send(Call::new("PUT", &icon, "a.png", &most).sign(&t, &app)).await.ok();
        let more = vec![7; (1 << 20) + 1];
        send(Call::new("PUT", &icon, "b.png", &more).sign(&t, &app)).await.refused(400, "EntityTooLarge");
        send(Call::new("GET", &icon, "b.png", b"").sign(&t, &app)).await.refused(404, "NoSuchKey");
        // The files are for the server's owner alone.
        let mode = |path: &std::path::Path| std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(path).unwrap().permissions());
        assert_eq!(mode(&app.data_dir.path().join("objects")) & 0o777, 0o700);
    }
}
