//! What each fuzz target does with its bytes. The targets in `fuzz_targets/` give it what libFuzzer finds; the test
//! `crates/testkit/tests/fuzz.rs` gives it mutated samples, so that each is known to run.
//!
//! Parts of an input are separated by a zero byte.

use bytes::Bytes;
use creel_llm::answer::Answer;
use creel_llm::convert::Naming;
use creel_llm::dialect::Dialect;
use creel_llm::request::{OutputField, Request, Rewrite};
use creel_llm::sse::Splitter;
use creel_llm::tokens::Sample;
use creel_llm::usage::{self, Usage};
use creel_skills::analyse::{judge, sarif};
use creel_skills::bundle;
use creel_skills::package::{self, Limits, Package};
use creel_wire::guest::{ToGuest, ToServer};
use creel_wire::ops::{credit, message, model, model_group, runtime};
use creel_wire::oss;
use creel_wire::params::Params;
use creel_wire::secret::Secret;
use creel_wire::sign::{Claim, Request as Signed};
use creel_wire::skill_content::{content_hash, is_safe_path, is_skill_name};
use http::Method;

#[path = "../../crates/llm/tests/support/http1_answer.rs"]
mod answer;

const SECRET: &str = "5d41402abc4b2a76b9719d911017c592";

/// Parts of an input: texts, and the bytes behind them.
fn parts<const TEXTS: usize>(data: &[u8]) -> Option<([&str; TEXTS], &[u8])> {
    let mut texts = [""; TEXTS];
    let mut rest = data;
    for text in &mut texts {
        let end = rest.iter().position(|byte| *byte == 0)?;
        *text = std::str::from_utf8(&rest[..end]).ok()?;
        rest = &rest[end + 1..];
    }
    Some((texts, rest))
}

/// Any query and form, read as the inputs that have the most kinds of parameters.
pub fn params_decode(data: &[u8]) {
    let Some(([query], body)) = parts::<1>(data) else { return };
    let Ok(params) = Params::decode(query, body) else { return };
    let _ = runtime::create_desktops::Input::decode(&params);
    let _ = runtime::describe_desktops::Input::decode(&params);
    let _ = model::batch_create_llm_templates::Input::decode(&params);
    let _ = model_group::list_model_templates::Input::decode(&params);
    let _ = credit::set_agent_credit_quota::Input::decode(&params);
    let _ = message::send_agent_message::Input::decode(&params);
}

/// Any Authorization header, query and body: no panic, and never believed, for nobody here knows the secret.
pub fn acs3_authorization(data: &[u8]) {
    let Some(([authorization, action, query], body)) = parts::<3>(data) else { return };
    let Ok(params) = Params::decode(query, body) else { return };
    let headers = [
        ("authorization", authorization),
        ("host", "localhost"),
        ("x-acs-action", action),
        ("x-acs-version", "2020-09-30"),
        ("x-acs-date", "2026-01-02T03:04:05Z"),
        ("x-acs-signature-nonce", "n"),
        ("x-acs-content-sha256", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    ];
    let request = Signed { method: "POST", path: "/", query, headers: &headers, body };
    if let Ok(claim) = Claim::of(&request, &params) {
        assert!(claim.verify(&request, &params, &Secret::new(SECRET.to_owned())).is_err());
    }
}

const SIGNED: &str = "SignatureMethod=HMAC-SHA1&SignatureVersion=1.0&AccessKeyId=a&SignatureNonce=n&Version=v&Action=A&\
                      Timestamp=t&";

/// Any legacy request: no panic, and never believed.
pub fn rpc1(data: &[u8]) {
    let Some(([rest], body)) = parts::<1>(data) else { return };
    let query = format!("{SIGNED}{rest}");
    let Ok(params) = Params::decode(&query, body) else { return };
    let request = Signed { method: "GET", path: "/", query: &query, headers: &[], body };
    if let Ok(claim) = Claim::of(&request, &params) {
        assert!(claim.verify(&request, &params, &Secret::new(SECRET.to_owned())).is_err());
    }
}

/// Any request for an object, its signature in the header or in the query, and any list of parts: no panic, and never
/// believed.
pub fn oss_authorization(data: &[u8]) {
    let Some(([authorization, target, date], body)) = parts::<3>(data) else { return };
    let _ = oss::xml::read_complete(body);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    oss::is_object_request("creel-skills.localhost", path, query, authorization, "creel-skills");
    let Ok(query) = oss::query(query) else { return };
    for host in ["creel-skills.localhost", "127.0.0.1:8080"] {
        let Ok(address) = oss::Address::of(host, path, "creel-skills") else { return };
        let headers = [("authorization", authorization), ("date", date), ("x-oss-date", date)];
        for headers in [&headers[..], &headers[..2], &headers[1..]] {
            let request = oss::Request { method: "PUT", address: &address, query: &query, headers };
            let Ok(claim) = oss::Claim::of(&request) else { continue };
            assert!(claim.verify(&request, &Secret::new(SECRET.to_owned())).is_err());
        }
    }
}

/// Any body as a request of any dialect for any upstream: what passes keeps its bytes, and what is converted can be
/// read there.
pub fn llm_request(data: &[u8]) {
    let Some((first, body)) = data.split_first() else { return };
    let dialect = Dialect::ALL[usize::from(*first) % Dialect::ALL.len()];
    let Ok(request) = Request::read(dialect, body) else { return };
    let limit = (first & 0x80 != 0).then_some(2_000);
    let rewrite = Rewrite { model: "m", output_tokens_max: limit, output_field: OutputField::MaxTokens };
    for upstream in Dialect::ALL {
        let Ok(sent) = request.for_upstream(body, upstream, &rewrite) else { continue };
        let there = sent.body.as_deref().unwrap_or(body);
        // Only the outermost object was checked; what lies deeper may be no JSON, which the upstream then says.
        let read = Request::read(upstream, there).expect("a request there");
        assert_eq!((read.model(), read.stream()), ("m", request.stream()));
        assert!(limit.is_none() || !upstream.has_output() || read.output_tokens_max() <= limit);
    }
}

type Told = Option<(Vec<u8>, Option<Usage>)>;

fn tell(mut answer: Answer, parts: &mut dyn Iterator<Item = &[u8]>) -> Told {
    let mut out = Vec::new();
    for part in parts {
        out.extend(answer.push(Bytes::copy_from_slice(part)).ok()?.now.unwrap_or_default());
    }
    answer.end().ok()?;
    out.extend(answer.waiting().unwrap_or_default());
    Some((out, answer.usage()))
}

/// Any bytes as a stream or a whole answer of any upstream for any client, at once and cut into pieces: both say the
/// same.
pub fn llm_answer(data: &[u8]) {
    let [first, cut, body @ ..] = data else { return };
    let client = Dialect::ALL[usize::from(first & 7) % Dialect::ALL.len()];
    let (stream, include_usage) = (first & 8 != 0, first & 16 != 0);
    let asked =
        format!(r#"{{"model":"m","stream_options":{{"include_usage":{include_usage}}},"stream":{stream}}}"#);
    let asked = Request::read(client, asked.as_bytes()).expect("a request");
    for upstream in Dialect::ALL.into_iter().filter(|upstream| client.converts_to(*upstream)) {
        let answer = || {
            let naming = || Naming { id: "i".into(), created_s: 1, model: "m".into() };
            Answer::new(&asked, upstream, stream, naming)
        };
        let whole = tell(answer(), &mut std::iter::once(body));
        let pieces = tell(answer(), &mut body.chunks(usize::from(*cut).max(1)));
        assert_eq!(whole, pieces);
    }
}

/// Any bytes as server-sent events, at once and cut into pieces: the same events, and no byte is lost.
pub fn llm_sse(data: &[u8]) {
    let Some((cut, body)) = data.split_first() else { return };
    let split = |size: usize| {
        let (mut splitter, mut raw, mut said) = (Splitter::new(), Vec::new(), Vec::new());
        for piece in body.chunks(size.max(1)) {
            let pushed = splitter.push(piece, |event| {
                raw.extend_from_slice(event.raw);
                said.push(event.data.map(std::borrow::Cow::into_owned));
            });
            if pushed.is_err() {
                return None;
            }
        }
        raw.extend_from_slice(splitter.rest());
        Some((raw, said))
    };
    let whole = split(body.len());
    if let Some((raw, _)) = &whole {
        assert_eq!(raw, body);
    }
    assert_eq!(whole, split(usize::from(*cut)));
}

/// Any bytes as a usage object of any dialect, and as text to be counted.
pub fn llm_usage(data: &[u8]) {
    for dialect in Dialect::ALL {
        let _ = usage::of(dialect, data);
    }
    let request = Sample::of_request(&Bytes::copy_from_slice(data));
    let mut answer = Sample::of_answer();
    data.chunks(7).for_each(|piece| answer.push(piece));
    let bound = Usage { input: 100, output: 100, ..Usage::default() };
    let estimated = usage::estimate_by_tokens("m", &request, &answer, &bound);
    assert!(estimated.input <= bound.input && estimated.output <= bound.output);
}

/// Any text as a message of a guest or of a server to one: what is read is written the same way.
pub fn guest_message(data: &[u8]) {
    if let Ok(message) = serde_json::from_slice::<ToServer>(data) {
        let text = serde_json::to_string(&message).expect("a message can be written");
        let again: ToServer = serde_json::from_str(&text).expect("and read");
        assert_eq!(serde_json::to_string(&again).expect("and written"), text);
    }
    if let Ok(message) = serde_json::from_slice::<ToGuest>(data) {
        let text = serde_json::to_string(&message).expect("a message can be written");
        let _: ToGuest = serde_json::from_str(&text).expect("and read");
    }
}

/// Any bytes as an uploaded package, and as an archive inside one: what is accepted has safe paths and stays within its
/// limits, and what is kept of it comes out again.
pub fn skill_package(data: &[u8]) {
    let limits = Limits { files: 100, bytes: 1 << 20, file_bytes: 1 << 19 };
    if let Ok(files) = package::members(data, &limits) {
        assert!(
            files.len() <= limits.files
                && files.values().map(|file| file.len() as u64).sum::<u64>() <= limits.bytes
        );
    }
    if let Ok(package) = package::read(data) {
        check_package(&package);
    }
}

/// Any bytes as what another Creel exported: what is read is signed as it stands, and written again is the same.
pub fn skill_bundle(data: &[u8]) {
    let bytes = [b"creel-skill-bundle-1\n".as_slice(), data].concat();
    for bytes in [data, &bytes] {
        let Ok(read) = bundle::read(bytes) else { continue };
        assert!(bundle::is_bundle(bytes) && is_skill_name(&read.record.slug));
        let again = bundle::write(read.key, &read.record, read.package, |_| read.signature.to_owned());
        let again = again.expect("a record that was read is small enough");
        let reread = bundle::read(&again).expect("what was written is read");
        assert_eq!((reread.record, reread.package), (read.record, read.package));
    }
}

/// Any text as the front matter of a skill.
pub fn skill_front_matter(data: &[u8]) {
    let skill = [b"---\nname: a\ndescription: b\n".as_slice(), data, b"\n---\n# Text\n"].concat();
    if let Ok(package) = package::read(&skill) {
        check_package(&package);
    }
    let bare = [b"---\n".as_slice(), data, b"\n---\n"].concat();
    if let Ok(package) = package::read(&bare) {
        check_package(&package);
    }
}

fn check_package(package: &Package) {
    assert!(package.files.keys().all(|path| is_safe_path(path)) && is_skill_name(&package.manifest.name));
    assert_eq!(package.content_hash, content_hash(&package.files));
    let kept = package::pack(&package.files);
    assert_eq!(package::unpack(&kept).as_ref(), Ok(&package.files));
    let again = package::read(&kept).expect("what is kept is a package");
    assert_eq!(again.files, package.files);
}

/// Any bytes as what an analyser of skills answers: a SARIF log, or a model's chat completion.
pub fn skill_analysis(data: &[u8]) {
    let skill = package::read(b"---\nname: a\ndescription: b\n---\n").expect("a skill");
    for told in [sarif::analysis("a", "/skill", data).ok(), judge::analysis("a", &skill, data).ok()]
        .into_iter()
        .flatten()
    {
        assert!(told.findings.len() <= 1_000);
        let is_short = |text: &str| text.chars().count() < 10_000 && !text.chars().any(char::is_control);
        assert!(
            told.findings
                .iter()
                .all(|found| is_short(&found.message) && is_short(&found.rule) && is_short(&found.file))
        );
    }
}

/// Any bytes as an upstream's answer over HTTP/1.1, at once and in pieces: both say the same and invent nothing.
pub fn http1_answer(data: &[u8]) {
    let Some((first, data)) = data.split_first() else { return };
    let asked = if first % 8 == 7 { Method::HEAD } else { Method::POST };
    let whole = answer::follow([data], &asked);
    let pieces = answer::follow(data.chunks(usize::from(first / 8) + 1), &asked);
    // What is wrong may be seen earlier, and then as something else.
    assert_eq!(whole.as_ref().ok(), pieces.as_ref().ok());
    if let Ok(seen) = whole {
        assert!(seen.body.len() + seen.rest <= data.len());
    }
}
