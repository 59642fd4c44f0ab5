use proptest::prelude::*;

use super::*;

const VECTORS: &str = include_str!("../../../../spec/signature-vectors.txt");
const KEY_ID: &str = "LTAIexampleKeyId";

fn key() -> Secret {
    Secret::new("exampleSecret123".to_owned())
}

/// One block of the vectors file.
struct Vector {
    name: String,
    method: String,
    query: String,
    body: String,
    canonical: String,
    string_to_sign: String,
    signature: String,
}

fn vectors(kind: &str) -> Vec<Vector> {
    let blocks = VECTORS.split("===== ").skip(1).filter(|block| block.starts_with(kind));
    blocks
        .map(|block| {
            let (head, rest) = block.split_once('\n').expect("a head line");
            let (request, body) = head.split_once(" BODY").expect("BODY");
            let mut words = request.split(' ');
            let mut word = || words.next().expect("three words").to_owned();
            let (name, method, target) = (word(), word(), word());
            let (canonical, rest) = rest.split_once("\n--sts--\n").expect("--sts--");
            let (string_to_sign, signature) = rest.split_once("\n--sig-- ").expect("--sig--");
            Vector {
                name,
                method,
                query: target.split_once('?').map(|(_, query)| query.to_owned()).unwrap_or_default(),
                body: body.trim_start().to_owned(),
                canonical: canonical.to_owned(),
                string_to_sign: string_to_sign.to_owned(),
                signature: signature.trim().to_owned(),
            }
        })
        .collect()
}

fn outcome(
    method: &str,
    query: &str,
    headers: &[(&str, &str)],
    body: &[u8],
    secret: &Secret,
) -> Result<Claim, ApiError> {
    let params = Params::decode(query, body)?;
    let request = Request { method, path: "/", query, headers, body };
    let claim = Claim::of(&request, &params)?;
    claim.verify(&request, &params, secret)?;
    Ok(claim)
}

#[test]
fn every_acs3_vector_verifies_and_shows_the_same_string_to_sign() {
    let vectors = vectors("acs3-");
    assert_eq!(vectors.len(), 8);
    for vector in vectors {
        let lines: Vec<&str> = vector.canonical.lines().collect();
        let signed = lines[lines.len() - 2];
        let authorization = format!(
            "ACS3-HMAC-SHA256 Credential={KEY_ID},SignedHeaders={signed},Signature={}",
            vector.signature
        );
        let mut headers: Vec<(&str, &str)> =
            lines[3..lines.len() - 3].iter().map(|line| line.split_once(':').expect("a header")).collect();
        headers.extend([("Authorization", authorization.as_str()), ("accept-encoding", "identity")]);
        let check = |secret: &Secret| {
            outcome(&vector.method, &vector.query, &headers, vector.body.as_bytes(), secret)
        };
        let claim = check(&key()).unwrap_or_else(|e| panic!("{} {}: {e:?}", vector.name, vector.query));
        assert_eq!((claim.scheme, claim.access_key_id.as_str()), (Scheme::Acs3, KEY_ID));
        assert_eq!(claim.timestamp, "2026-01-02T03:04:05Z");
        assert_eq!(claim.version, "2021-09-01");
        let with_token = headers.iter().any(|(name, _)| *name == "x-acs-security-token");
        assert_eq!(claim.security_token.is_some(), with_token);
        let refused = check(&Secret::new("exampleSecret124".to_owned())).expect_err("another secret");
        assert_eq!(refused.code, "SignatureDoesNotMatch");
        assert!(refused.message.ends_with(&format!("server string to sign is:{}", vector.string_to_sign)));
    }
}

#[test]
fn every_rpc1_vector_verifies_and_shows_the_same_string_to_sign() {
    let vectors = vectors("rpc1-");
    assert_eq!(vectors.len(), 6);
    for vector in vectors {
        let check = |secret: &Secret| {
            outcome(&vector.method, &vector.query, &[("host", "h")], vector.body.as_bytes(), secret)
        };
        let claim = check(&key()).unwrap_or_else(|e| panic!("{} {}: {e:?}", vector.name, vector.query));
        assert_eq!((claim.scheme, claim.access_key_id.as_str()), (Scheme::Rpc1, KEY_ID));
        assert_eq!(claim.security_token.is_some(), vector.query.contains("SecurityToken"));
        let refused = check(&Secret::new("exampleSecret124".to_owned())).expect_err("another secret");
        assert!(refused.message.ends_with(&format!("server string to sign is:{}", vector.string_to_sign)));
        let params = Params::decode(&vector.query, vector.body.as_bytes()).expect("decodes");
        assert_eq!(sign_rpc1(&vector.method, &params, &key()), vector.signature);
    }
}

#[test]
fn the_legacy_vector_with_sts_token_in_the_modern_sdk_verifies() {
    let params: Params = [
        ("Action", "GetRuntimeChannel"),
        ("Version", "2021-09-01"),
        ("Format", "json"),
        ("Timestamp", "2026-01-02T03:04:05Z"),
        ("SignatureNonce", "0123456789abcdef0123456789abcdef"),
        ("SignatureMethod", "HMAC-SHA1"),
        ("SignatureVersion", "1.0"),
        ("AccessKeyId", KEY_ID),
        ("SecurityToken", "STS/tok+="),
        ("RuntimeType", "CloudDesktop"),
    ]
    .into_iter()
    .collect();
    assert_eq!(sign_rpc1("POST", &params, &key()), "ZDBUGoZwmbEdSGIHUZ7U0ubz0L8=");
}

/// A signed call whose parts a test may then change.
struct Signed {
    query: String,
    body: Vec<u8>,
    headers: Vec<(String, String)>,
}

fn signed(query: &str, body: &[u8], host: &str) -> Signed {
    let call = Acs3Call {
        method: "POST",
        host,
        version: "2020-09-30",
        action: "CreateDesktops",
        query,
        body,
        content_type: Some("application/x-www-form-urlencoded"),
        date: "2026-01-02T03:04:05Z",
        nonce: "n-1",
        security_token: Some("canary"),
    };
    let headers = sign_acs3(&call, KEY_ID, &key()).expect("signs");
    Signed { query: query.to_owned(), body: body.to_vec(), headers }
}

impl Signed {
    fn check(&self) -> Result<Claim, ApiError> {
        let headers: Vec<(&str, &str)> = self.headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        outcome("POST", &self.query, &headers, &self.body, &key())
    }

    fn code(&self) -> String {
        self.check().expect_err("refused").code.into_owned()
    }

    fn header(&mut self, name: &str) -> &mut String {
        &mut self.headers.iter_mut().find(|(other, _)| other == name).expect("the header").1
    }
}

#[test]
fn a_host_signed_with_its_scheme_verifies_either_way() {
    for (signed_host, received) in [
        ("http://127.0.0.1:80", "127.0.0.1:80"),
        ("https://h", "h"),
        ("http://h:1", "http://h:1"),
        ("h:1", "http://h:1"),
    ] {
        let mut call = signed("A=1", b"", signed_host);
        *call.header("host") = received.to_owned();
        assert!(call.check().is_ok(), "{signed_host} as {received}");
    }
    let mut call = signed("A=1", b"", "http://h:1");
    *call.header("host") = "h:2".to_owned();
    assert_eq!(call.code(), "SignatureDoesNotMatch");
}

#[test]
fn plus_and_percent_20_sign_the_same() {
    let mut call = signed("A=a+b&B=", b"", "h");
    call.query = "B&A=a%20b".to_owned();
    assert!(call.check().is_ok());
}

#[test]
fn what_is_not_signed_is_refused() {
    let mut call = signed("", b"", "h");
    call.headers.push(("X-Acs-Retry-Attempts".to_owned(), "1".to_owned()));
    assert_eq!(call.code(), "IncompleteSignature");
    let mut call = signed("", b"", "h");
    call.headers.push(("x-acs-action".to_owned(), "DeleteDesktops".to_owned()));
    assert_eq!(call.code(), "IncompleteSignature");
    let mut call = signed("", b"", "h");
    let unsigned_host = call.header("authorization").replace(";host", "");
    *call.header("authorization") = unsigned_host;
    assert_eq!(call.code(), "IncompleteSignature");
    let mut call = signed("", b"", "h");
    call.headers.retain(|(name, _)| name != "x-acs-date");
    assert_eq!(call.code(), "IncompleteSignature");
    let mut call = signed("", b"", "h");
    call.headers.retain(|(name, _)| name != "authorization");
    assert_eq!(call.code(), "IncompleteSignature");
}

#[test]
fn other_methods_bad_nonces_and_long_tokens_are_refused() {
    let mut call = signed("", b"", "h");
    *call.header("authorization") = "ACS3-HMAC-SM3 Credential=a,SignedHeaders=host,Signature=b".to_owned();
    assert_eq!(call.code(), "InvalidSignatureMethod");
    let mut call = signed("", b"", "h");
    *call.header("x-acs-signature-nonce") = "n".repeat(NONCE_BYTES_MAX + 1);
    assert_eq!(call.code(), "IncompleteSignature");
    let mut call = signed("", b"", "h");
    *call.header("x-acs-security-token") = "t".repeat(SECURITY_TOKEN_BYTES_MAX + 1);
    assert_eq!(call.code(), "InvalidSecurityToken.Malformed");
    let mut call = signed("", b"", "h");
    *call.header("x-acs-accesskey-id") = "other".to_owned();
    assert_eq!(call.code(), "IncompleteSignature");
    let legacy = "Action=A&Version=V&AccessKeyId=a&SignatureNonce=n&Timestamp=t&Signature=s";
    for (more, code) in [
        ("&SignatureMethod=HMAC-SHA256&SignatureVersion=1.0", "InvalidSignatureMethod"),
        ("&SignatureMethod=HMAC-SHA1&SignatureVersion=2.0", "IncompleteSignature"),
        (
            "&SignatureMethod=HMAC-SHA1&SignatureVersion=1.0&SignatureType=BEARERTOKEN",
            "InvalidSignatureMethod",
        ),
        ("&SignatureMethod=HMAC-SHA1", "IncompleteSignature"),
        ("&SignatureMethod=HMAC-SHA1&SignatureVersion=1.0", "SignatureDoesNotMatch"),
    ] {
        let refused = outcome("GET", &format!("{legacy}{more}"), &[], b"", &key()).expect_err(more);
        assert_eq!(refused.code, code, "{more}");
    }
}

#[test]
fn a_legacy_request_takes_no_action_from_its_unsigned_headers() {
    let vector = vectors("rpc1-").remove(0);
    let headers = [("x-acs-action", "DeleteDesktops"), ("x-acs-version", "2020-09-30")];
    let claim =
        outcome(&vector.method, &vector.query, &headers, vector.body.as_bytes(), &key()).expect("verifies");
    assert_eq!((claim.action.as_str(), claim.version.as_str()), ("GetRuntimeChannel", "2021-09-01"));
}

#[test]
fn the_clock_may_differ_by_the_window_and_no_more() {
    let skew_max = SignedDuration::from_mins(15);
    let now = TimeFormat::Seconds.read("2026-01-02T03:00:00Z").expect("a time");
    for (timestamp, code) in [
        ("2026-01-02T03:15:00Z", None),
        ("2026-01-02T02:45:00Z", None),
        ("2026-01-02T03:15:01Z", Some("InvalidTimeStamp.Expired")),
        ("2026-01-02T02:44:59Z", Some("InvalidTimeStamp.Expired")),
        ("2026-01-02 03:00:00", Some("InvalidTimeStamp.Format")),
        ("9999-99-99T99:99:99Z", Some("InvalidTimeStamp.Format")),
    ] {
        let found = check_skew(timestamp, now, skew_max).err().map(|error| error.code.into_owned());
        assert_eq!(found.as_deref(), code, "{timestamp}");
    }
}

#[test]
fn debug_output_of_request_and_claim_has_no_secret() {
    let call = signed("Config=sk-1", b"", "h");
    let shown = format!("{:?}", call.check().expect("verifies"));
    assert!(!shown.contains("canary"), "{shown}");
    let request = Request { method: "POST", path: "/", query: "Config=sk-1", headers: &[], body: b"sk-2" };
    assert!(!format!("{request:?}").contains("sk-"));
}

proptest! {
    #[test]
    fn what_is_signed_verifies_and_one_flipped_byte_does_not(
        pairs in proptest::collection::btree_map("[A-Za-z0-9.]{1,12}", "\\PC{0,12}", 1..6),
        host in "[a-z0-9.:]{1,20}",
        place in 0_usize..5,
        position in any::<prop::sample::Index>(),
    ) {
        let encoded = pairs.iter().map(|(n, v)| form_pair(n, v)).collect::<Vec<_>>().join("&");
        let mut call = signed(&encoded, encoded.as_bytes(), &host);
        prop_assert!(call.check().is_ok());
        let name = ["host", "x-acs-action", "x-acs-signature-nonce", "authorization"].get(place);
        match name {
            Some(name) => {
                let value = call.header(name);
                let tail = if *name == "authorization" { value.len() - 64 } else { 0 };
                let at = tail + position.index(value.len() - tail);
                let flipped = if value.as_bytes()[at] == b'0' { "1" } else { "0" };
                value.replace_range(at..=at, flipped);
            }
            None => {
                // a change of the query's meaning, not of its spelling
                let at = position.index(call.body.len());
                call.body[at] ^= 1;
            }
        }
        prop_assert!(call.check().is_err());
    }

    #[test]
    fn a_changed_parameter_breaks_both_signatures(value in "\\PC{1,12}", other in "\\PC{1,12}") {
        prop_assume!(value != other);
        let mut call = signed(&form_pair("A", &value), b"", "h");
        call.query = form_pair("A", &other);
        prop_assert_eq!(call.code(), "SignatureDoesNotMatch");
        let of = |text: &str| sign_rpc1("POST", &[("A", text)].into_iter().collect(), &key());
        prop_assert_ne!(of(&value), of(&other));
    }

    #[test]
    fn no_authorization_panics(authorization in "(ACS3-HMAC-SHA256 )?\\PC{0,80}", query in "[ -~]{0,60}") {
        let _ = outcome("POST", &query, &[("authorization", &authorization), ("host", "h")], b"", &key());
    }
}

fn form_pair(name: &str, value: &str) -> String {
    format!("{}={}", super::encoding::encode(name), super::encoding::encode(value))
}
