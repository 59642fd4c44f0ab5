use std::collections::BTreeMap;

use jiff::Timestamp;
use proptest::prelude::*;
use serde::Deserialize;

use super::*;

/// What both official object SDKs sent; `tests/oss_vectors.py` made it.
const VECTORS: &str = include_str!("vectors.jsonl");
const BUCKET: &str = "creel-skills";
const KEY: &str = "skill/1000000000000001/AbCdEf/天气 a+b.zip";

#[derive(Deserialize, Clone)]
struct Vector {
    name: String,
    method: String,
    host: String,
    path: String,
    query: String,
    headers: BTreeMap<String, String>,
}

fn vectors() -> Vec<Vector> {
    VECTORS.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn secret() -> Secret {
    Secret::new("exampleSecret123".to_owned())
}

impl Vector {
    fn verify(&self, secret: &Secret) -> Result<Claim, OssError> {
        let address = Address::of(&self.host, &self.path, BUCKET)?;
        let query = query(&self.query)?;
        let headers: Vec<(&str, &str)> =
            self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let request = Request { method: &self.method, address: &address, query: &query, headers: &headers };
        let claim = Claim::of(&request)?;
        claim.verify(&request, secret)?;
        Ok(claim)
    }
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[test]
fn what_both_clients_send_is_understood_and_believed() {
    let vectors = vectors();
    assert_eq!(vectors.len(), 80);
    for vector in vectors {
        let authorization = vector.headers.get("authorization").map_or("", String::as_str);
        assert!(is_object_request(&vector.host, &vector.path, &vector.query, authorization, BUCKET));
        let address = Address::of(&vector.host, &vector.path, BUCKET).unwrap();
        assert_eq!((address.bucket.as_str(), address.key.as_str()), (BUCKET, KEY), "{}", vector.name);
        let claim =
            vector.verify(&secret()).unwrap_or_else(|error| panic!("{}: {}", vector.name, error.message));
        assert_eq!(claim.access_key_id, "STS.exampleKeyId", "{}", vector.name);
        let token = claim.security_token.as_ref().map(Secret::expose);
        assert_eq!(token, Some("token+/=with~signs"), "{}", vector.name);
        assert_eq!(claim.region(), vector.name.contains("v4").then_some("cn-hangzhou"));
    }
}

#[test]
fn nothing_signed_can_be_changed() {
    for vector in vectors() {
        let refused = |change: &dyn Fn(&mut Vector)| {
            let mut changed = vector.clone();
            change(&mut changed);
            let code = changed.verify(&secret()).unwrap_err().code;
            assert_eq!(code, OssCode::SIGNATURE_DOES_NOT_MATCH, "{}", vector.name);
        };
        let wrong = vector.verify(&Secret::new("another".to_owned())).unwrap_err();
        assert_eq!(wrong.code, OssCode::SIGNATURE_DOES_NOT_MATCH, "{}", vector.name);
        assert!(!wrong.message.contains("exampleSecret123"));
        refused(&|vector| {
            let method = if vector.method == "DELETE" { "PUT" } else { "DELETE" };
            vector.method = method.to_owned();
        });
        refused(&|vector| vector.path.push('x'));
        refused(&|vector| {
            let name = if vector.query.contains("uploads") { "uploadId=1" } else { "uploads" };
            let join = if vector.query.is_empty() { "" } else { "&" };
            vector.query = format!("{}{join}{name}", vector.query);
        });
        refused(&|vector| drop(vector.headers.insert("x-oss-new".to_owned(), "1".to_owned())));
        refused(&|vector| drop(vector.headers.insert("content-type".to_owned(), "text/html".to_owned())));
    }
}

#[test]
fn a_request_is_good_for_as_long_as_it_says() {
    let vectors = vectors();
    let find = |name: &str| vectors.iter().find(|vector| vector.name == name).unwrap();
    for name in ["oss2 v1 put", "oss2 v4 put", "oss-v2 v1 put", "oss-v2 v4 put"] {
        let vector = find(name);
        let claim = vector.verify(&secret()).unwrap();
        let Validity::At(signed) = claim.validity else { panic!("{name}") };
        for (seconds, good) in [(0, true), (900, true), (-900, true), (901, false), (-901, false)] {
            let checked = claim.check_time(signed + SignedDuration::from_secs(seconds));
            assert_eq!(checked.is_ok(), good, "{name} {seconds}");
        }
    }
    for (name, begins) in [("oss2 v1 presigned PUT", false), ("oss2 v4 presigned PUT", true)] {
        let claim = find(name).verify(&secret()).unwrap();
        let (Validity::Until(until) | Validity::Between(_, until)) = claim.validity else { panic!("{name}") };
        assert!(claim.check_time(until).is_ok());
        let over = claim.check_time(until + SignedDuration::from_secs(1)).unwrap_err();
        assert_eq!(over.code, OssCode::REQUEST_EXPIRED);
        let before = claim.check_time(until - SignedDuration::from_secs(600 + 901));
        assert_eq!(before.is_err(), begins, "{name}");
    }
}

#[test]
fn malformed_signatures_are_told_from_wrong_ones() {
    let address = Address { bucket: BUCKET.to_owned(), key: "k".to_owned() };
    let day = "20260102T030405Z";
    let v4 = |credential: &str| format!("OSS4-HMAC-SHA256 Credential={credential},Signature=00");
    let outcome = |authorization: &str, raw: &str, more: &[(&str, &str)]| {
        let query = query(raw).unwrap();
        let mut headers = more.to_vec();
        if !authorization.is_empty() {
            headers.push(("authorization", authorization));
        }
        let request = Request { method: "PUT", address: &address, query: &query, headers: &headers };
        Claim::of(&request).map(|_| ()).map_err(|error| error.code)
    };
    let date = ("date", "Fri, 02 Jan 2026 03:04:05 GMT");
    let oss_date = ("x-oss-date", day);
    let good = v4("a/20260102/cn-hangzhou/oss/aliyun_v4_request");
    assert_eq!(outcome("OSS a:b", "", &[date]), Ok(()));
    assert_eq!(outcome(&good, "", &[oss_date]), Ok(()));
    assert_eq!(outcome("", "", &[date]), Err(OssCode::ACCESS_DENIED));
    let bad = Err(OssCode::INVALID_ARGUMENT);
    assert_eq!(outcome("OSS ab", "", &[date]), bad);
    assert_eq!(outcome("OSS a:b", "", &[]), bad);
    assert_eq!(outcome("OSS a:b", "", &[date, date]), bad);
    assert_eq!(outcome("OSS a:b", "", &[("date", "yesterday")]), bad);
    assert_eq!(outcome("OSS2 AccessKeyId:a,Signature:b", "", &[date]), bad);
    assert_eq!(outcome("OSS a:b", "", &[date, ("x-oss-security-token", "x"), ("security-token", "y")]), bad);
    let long = "t".repeat(crate::sign::SECURITY_TOKEN_BYTES_MAX + 1);
    assert_eq!(outcome("OSS a:b", "", &[date, ("security-token", &long)]), bad);
    assert_eq!(outcome(&good, "", &[]), bad);
    assert_eq!(outcome(&good, "", &[("x-oss-date", "2026-01-02T03:04:05Z")]), bad);
    assert_eq!(outcome(&good, "", &[oss_date, ("x-oss-content-sha256", "00")]), bad);
    for credential in [
        "a/20260103/r/oss/aliyun_v4_request",
        "a/20260102/r/s3/aliyun_v4_request",
        "a",
        "a//r/oss/aliyun_v4_request",
    ] {
        assert_eq!(outcome(&v4(credential), "", &[oss_date]), bad, "{credential}");
    }
    assert_eq!(outcome(&format!("{good},Signature=11"), "", &[oss_date]), bad);
    let presigned = "x-oss-signature-version=OSS4-HMAC-SHA256&x-oss-signature=0&x-oss-date=20260102T030405Z&\
                     x-oss-credential=a/20260102/r/oss/aliyun_v4_request&x-oss-expires=";
    for (expires, good) in
        [("1", true), ("604800", true), ("604801", false), ("0", false), ("x", false), ("-1", false)]
    {
        assert_eq!(outcome("", &format!("{presigned}{expires}"), &[]).is_ok(), good, "{expires}");
    }
    assert_eq!(outcome("", "Signature=a&OSSAccessKeyId=b&Expires=99999999999999999999", &[]), bad);
    assert!(query("a=1&a=2").is_err());
}

#[test]
fn only_object_requests_are_taken_for_one() {
    for (host, path, query, authorization) in [
        ("127.0.0.1:8080", "/", "", "ACS3-HMAC-SHA256 Credential=a"),
        ("127.0.0.1:8080", "/", "Action=GetOssStsToken&Signature=a", ""),
        ("127.0.0.1:8080", "/healthz", "", ""),
        ("creel.example.com", "/console/", "", "Bearer x"),
        ("creel-skillsx.example.com", "/creel-skillsx/a", "", ""),
    ] {
        assert!(!is_object_request(host, path, query, authorization, BUCKET), "{host}{path}?{query}");
    }
    assert!(is_object_request("Creel-Skills.Example.com", "/", "", "", BUCKET));
    assert!(is_object_request("x", "/creel-skills", "", "", BUCKET));
    assert!(is_object_request("x", "/other/key", "OSSAccessKeyId=a", "", BUCKET));
}

proptest! {
    /// Whatever bytes come, nobody is believed and nothing panics.
    #[test]
    fn nobody_is_believed_without_the_secret(
        authorization in "(OSS|OSS4-HMAC-SHA256|OSS2)? ?[ -~]{0,120}",
        path in "/[ -~]{0,40}",
        raw in "([a-zA-Z-]{1,20}=?[ -~]{0,20}&?){0,6}",
        date in "[ -~]{0,32}",
    ) {
        let (Ok(address), Ok(query)) = (Address::of("h", &path, BUCKET), query(&raw)) else { return Ok(()) };
        let headers = [("authorization", authorization.as_str()), ("date", &date), ("x-oss-date", &date)];
        for headers in [&headers[..], &headers[1..]] {
            let request = Request { method: "PUT", address: &address, query: &query, headers };
            if let Ok(claim) = Claim::of(&request) {
                prop_assert!(claim.verify(&request, &secret()).is_err());
                let _ = claim.check_time(at("2026-01-02T03:04:05Z"));
            }
        }
    }

    /// Any key, content type and part is signed and verified alike.
    #[test]
    fn what_is_signed_is_believed(key in "[^\\x00-\\x1f]{1,60}", kind in "[a-z/]{0,12}", part in 1u16..10_000) {
        let address = Address { bucket: BUCKET.to_owned(), key };
        let raw = format!("uploadId=AB&partNumber={part}");
        let query = query(&raw).unwrap();
        let date = "Fri, 02 Jan 2026 03:04:05 GMT";
        let plain = [("content-type", kind.as_str()), ("date", date), ("x-oss-date", "20260102T030405Z")];
        let request = |headers| Request { method: "PUT", address: &address, query: &query, headers };
        let v1 = v1::signature(&secret(), &v1::string_to_sign(&request(&plain[..2]), date));
        let authorization = format!("OSS a:{v1}");
        let signed = [("authorization", authorization.as_str()), plain[0], plain[1]];
        prop_assert!(Claim::of(&request(&signed)).unwrap().verify(&request(&signed), &secret()).is_ok());
        let scope = v4::Scope { day: "20260102".to_owned(), region: "r".to_owned() };
        let text = v4::string_to_sign(&request(&plain), "20260102T030405Z", &scope, &["date".to_owned()]);
        let v4 = v4::signature(&secret(), &scope, &text);
        let authorization = format!(
            "OSS4-HMAC-SHA256 Credential=a/20260102/r/oss/aliyun_v4_request, AdditionalHeaders=date, Signature={v4}"
        );
        let signed = [("authorization", authorization.as_str()), plain[0], plain[1], plain[2]];
        prop_assert!(Claim::of(&request(&signed)).unwrap().verify(&request(&signed), &secret()).is_ok());
    }
}
