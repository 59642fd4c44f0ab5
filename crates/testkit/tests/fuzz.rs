//! Every fuzz target over mutated samples, so that each is known to run and to find nothing near them.
//! CREEL_FUZZ_ROUNDS makes it longer, CREEL_FUZZ_SEED another one.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "the targets are written as fuzz targets are: what they find is a panic"
)]

use std::path::Path;

#[path = "../../../fuzz/src/lib.rs"]
#[expect(unreachable_pub, reason = "public in the fuzz crate")]
mod targets;

struct Rng(u64);

impl Rng {
    fn below(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(below).unwrap()).unwrap()
    }
}

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

/// Changes a few places of a sample: bytes, pieces left out, doubled, cut off or put in from another sample.
fn mutate(rng: &mut Rng, samples: &[Vec<u8>]) -> Vec<u8> {
    let mut data = samples[rng.below(samples.len())].clone();
    for _ in 0..rng.below(5) {
        if data.is_empty() {
            break;
        }
        let at = rng.below(data.len());
        let end = (at + rng.below(24)).min(data.len());
        match rng.below(6) {
            0 => data[at] = u8::try_from(rng.below(256)).unwrap(),
            1 => drop(data.drain(at..end)),
            2 => data.extend_from_within(at..end),
            3 => data.truncate(at),
            4 => data[at] = b"\"{}[]:,0\n\r\\ "[rng.below(12)],
            _ => {
                let other = &samples[rng.below(samples.len())];
                let from = rng.below(other.len().max(1)).min(other.len());
                let piece = other[from..(from + 30).min(other.len())].to_vec();
                data.splice(at..end, piece);
            }
        }
    }
    data
}

fn run(target: fn(&[u8]), samples: &[Vec<u8>]) {
    let seed = number("CREEL_FUZZ_SEED", 20_261_124);
    let mut rng = Rng(u64::try_from(seed).unwrap().wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    samples.iter().for_each(|sample| target(sample));
    for round in 0..number("CREEL_FUZZ_ROUNDS", 3_000) {
        let data = mutate(&mut rng, samples);
        if let Err(cause) = std::panic::catch_unwind(|| target(&data)) {
            eprintln!("CREEL_FUZZ_SEED={seed}, round {round}: {}", data.escape_ascii());
            std::panic::resume_unwind(cause);
        }
    }
}

/// The golden files below a folder, each behind every one of these prefixes.
fn golden(folder: &str, prefixes: &[&[u8]]) -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../llm/tests/golden").join(folder);
    let files = walkdir::WalkDir::new(&root).sort_by_file_name();
    let files = files.into_iter().map(Result::unwrap).filter(|file| file.file_type().is_file());
    let mut samples = Vec::new();
    for file in files {
        let bytes = std::fs::read(file.path()).unwrap();
        samples.extend(prefixes.iter().map(|prefix| [prefix, bytes.as_slice()].concat()));
    }
    assert!(samples.len() > 3, "no samples in {}", root.display());
    samples
}

fn texts(samples: &[&str]) -> Vec<Vec<u8>> {
    samples.iter().map(|sample| sample.as_bytes().to_vec()).collect()
}

#[test]
fn params_decode() {
    run(
        targets::params_decode,
        &texts(&[
            "RegionId=cn-hangzhou&Amount=3&DesktopId.1=ecd-1&DesktopId.2=ecd-2\0MaxResults=10&NextToken=a%20b",
            "DesktopAttachment.ImageId=i&PurchaseOptions={\"MonthlyCredits\":5}\0Tag.1.Key=a&Tag.1.Value=%E4%B8%AD",
            "AgentIds=[\"a\",\"b\"]&CreditQuota=-1&LlmTemplateItems.1.LlmCode=m\0",
        ]),
    );
}

#[test]
fn acs3_authorization() {
    let header = "ACS3-HMAC-SHA256 Credential=LTAI1,SignedHeaders=host;x-acs-action;x-acs-date,Signature=\
                  06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0";
    let sample = format!("{header}\0DescribeDesktops\0RegionId=cn\0a=b");
    run(targets::acs3_authorization, &texts(&[&sample, "ACS3-HMAC-SHA256 Credential=\0\0\0"]));
}

#[test]
fn rpc1() {
    run(
        targets::rpc1,
        &texts(&["Signature=OLeaidS1JvxuMvnyHOwuJ%2BuX5qY%3D&RegionId=cn\0a=b", "Signature=\0"]),
    );
}

#[test]
fn oss_authorization() {
    let v4 = "OSS4-HMAC-SHA256 Credential=STS.a/20260102/cn-hangzhou/oss/aliyun_v4_request, Signature=0b";
    let presigned = "/creel-skills/a%2Fb?x-oss-signature-version=OSS4-HMAC-SHA256&x-oss-signature=0b&x-oss-expires=60&\
                     x-oss-date=20260102T030405Z&x-oss-credential=STS.a/20260102/r/oss/aliyun_v4_request";
    let parts = "<A><Part><PartNumber>1</PartNumber><ETag>\"AB\"</ETag></Part></A>";
    run(
        targets::oss_authorization,
        &texts(&[
            &format!("{v4}\0/creel-skills/a/b.zip?uploads\x0020260102T030405Z\0{parts}"),
            &format!(
                "OSS STS.a:06qbsNVtZEk7Ii+wEMORcgAnf40=\0/a%20b\0Fri, 02 Jan 2026 03:04:05 GMT\0{parts}"
            ),
            &format!("\0{presigned}\0\0"),
            "\0/creel-skills/a?OSSAccessKeyId=STS.a&Expires=1767323045&Signature=AAAA&security-token=x\0\0",
        ]),
    );
}

#[test]
fn llm_request() {
    run(targets::llm_request, &golden("requests", &[b"\x00", b"\x01", b"\x02", b"\x83", b"\x84"]));
}

#[test]
fn llm_answer() {
    let mut samples = golden("streams", &[b"\x08\x03", b"\x19\x11", b"\x0a\x07"]);
    samples.extend(golden("answers", &[b"\x00\x05", b"\x01\x03", b"\x02\x09"]));
    run(targets::llm_answer, &samples);
}

#[test]
fn llm_sse() {
    run(targets::llm_sse, &golden("streams", &[b"\x01", b"\x05", b"\x40"]));
}

#[test]
fn llm_usage() {
    let mut samples = golden("answers", &[b""]);
    samples.extend(texts(&[
        r#"{"prompt_tokens":12,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":5}}"#,
        r#"{"input_tokens":9,"cache_read_input_tokens":1,"cache_creation_input_tokens":2,"output_tokens":0}"#,
    ]));
    run(targets::llm_usage, &samples);
}

#[test]
fn http1_answer() {
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    run(
        targets::http1_answer,
        &texts(&[
            "\x10HTTP/1.1 200 OK\r\ncontent-length: 12\r\nx-request-id: a\r\n\r\nabcdefghijkl",
            &format!("\x18{chunked}3\r\nabc\r\n10;x=y\r\n0123456789abcdef\r\n0\r\nt: u\r\n\r\n"),
            "\x01HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 429 No\r\nretry-after: 3\r\ncontent-length: 2\r\n\r\n{}",
            "\x20HTTP/1.0 200 OK\r\n\r\nuntil the end",
            "\x0fHTTP/1.1 200 OK\r\ncontent-length: 7\r\nconnection: close\r\n\r\n",
        ]),
    );
}

#[test]
fn guest_message() {
    run(
        targets::guest_message,
        &texts(&[
            r#"{"type":"challenge","protocol":1,"nonce":"abc"}"#,
            r#"{"type":"welcome","epoch":3}"#,
            r#"{"type":"hello","protocol":1,"runtime_id":"ecd-1","boot_id":"b","guest_version":"0","signature":"s"}"#,
        ]),
    );
}

/// A zip of these files.
fn zipped(files: &[(&str, &str)]) -> Vec<u8> {
    use std::io::Write;
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (path, text) in files {
        writer.start_file(*path, zip::write::SimpleFileOptions::default()).unwrap();
        writer.write_all(text.as_bytes()).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

#[test]
fn skill_package() {
    let skill = "---\nname: a-b\ndescription: c\nversion: 1.0\n---\n# Text\n";
    let files = [("SKILL.md", skill), ("scripts/run.sh", "#!/bin/sh\necho hello\n")];
    let tar = files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect();
    let below = [("top/SKILL.md", skill), ("top/说明.md", "说明")];
    let samples = [zipped(&files), zipped(&below), creel_skills::package::pack(&tar), skill.into()];
    run(targets::skill_package, &samples);
}

#[test]
fn skill_bundle() {
    let hash = "0123456789abcdef".repeat(4);
    let record = format!(
        r#"{{"Slug":"fish","Version":"1.0.0","ContentHash":"{hash}","ChangeLog":"","UploadedBy":"a","UploadedFrom":"",
        "PackageHash":"{hash}","Source":"upload","CreatedAtMs":1,"ExportedBy":"a","ExportedAtMs":2,"PublishStatus":"DRAFT",
        "ScanStatus":"REVIEW","ScanReason":"x","ScanRules":"1","ScannedAtMs":3,"Report":null,
        "Decision":{{"By":"b","Decision":"APPROVED","Reason":"","AtMs":4}}}}"#
    );
    let sample = format!("KEY=\nSIGNATURE=\n{}\n{record}package", record.len());
    run(targets::skill_bundle, &[sample.into_bytes(), b"KEY=\nSIGNATURE=\n2\n{}".to_vec()]);
}

#[test]
fn skill_front_matter() {
    run(
        targets::skill_front_matter,
        &texts(&[
            "name: find-skills\ndescription: >-\n  Finds\n  skills.\nlicense: MIT\nversion: 1.2.3-beta.1",
            "name: Find Skills\ndescription: Use when: asked\nslug: find-skills\nx: &a [b, *a]",
            "metadata: {\"openclaw\": {\"requires\": {\"env\": [\"A_KEY\"], \"bins\": [\"gh\"]}, \"primaryEnv\": \"A_KEY\"}}",
            "required_environment_variables:\n  - name: TENOR_API_KEY\n    optional: true\nprerequisites:\n  env_vars: [A]",
        ]),
    );
}

#[test]
fn skill_analysis() {
    run(
        targets::skill_analysis,
        &texts(&[
            r#"{"version":"2.1.0","runs":[{"tool":{"driver":{"rules":[{"id":"R","properties":{"security-severity":"8"}}]}},
                "results":[{"ruleIndex":0,"level":"error","message":{"text":"m"},"locations":[{"physicalLocation":
                {"artifactLocation":{"uri":"file:///skill/a%20b"},"region":{"startLine":3}}}]}]}]}"#,
            r#"{"choices":[{"message":{"content":"{\"verdict\":\"malicious\",\"findings\":[{\"rule\":\"x\",\"line\":2}]}"}}]}"#,
        ]),
    );
}
