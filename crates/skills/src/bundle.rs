//! A version of a skill with its record, as one Creel gives it to another: one file, signed.
//!
//! A line that says what it is, the signer's public key, the signature (both base64), the record's length in bytes,
//! then the record (JSON) and the package, a tar.gz, to the end. What is signed is [`signed_text`]: the sums of both.
//! Here is only the form; who may be believed, and the signature itself, are the reader's to check. The record is what
//! the other Creel says, the package is a package like any other: read, scanned and judged anew.

use std::io::Write;

use creel_wire::skill_content::is_skill_name;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::package::{PackageError, normal_version};
use crate::report::Report;

/// The first line, without its end.
const MAGIC: &[u8] = b"creel-skill-bundle-1";
/// Longest line after it: a signature has 88 characters.
const LINE_BYTES_MAX: usize = 100;
/// Bytes of a record.
pub const RECORD_BYTES_MAX: usize = 2 << 20;
/// Characters of one text of a record, and of a change log.
const TEXT_CHARS_MAX: usize = 2_000;
const CHANGE_LOG_CHARS_MAX: usize = 64 * 1024;
/// The last millisecond of the year 9999.
const TIME_MS_MAX: i64 = 253_402_300_799_999;
/// The code of everything that is wrong with a bundle.
pub(crate) const BAD_BUNDLE: &str = "Package.BadBundle";

/// What the exporting Creel says of a version. Nothing of it decides anything where it is imported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Record {
    pub slug: String,
    pub version: String,
    pub content_hash: String,
    pub change_log: String,
    /// Who uploaded it there, from where, in which package, from which source.
    pub uploaded_by: String,
    pub uploaded_from: String,
    pub package_hash: String,
    pub source: String,
    pub created_at_ms: i64,
    pub exported_by: String,
    pub exported_at_ms: i64,
    pub publish_status: String,
    pub scan_status: String,
    pub scan_reason: String,
    pub scan_rules: String,
    pub scanned_at_ms: Option<i64>,
    pub report: Option<Report>,
    pub decision: Option<RecordDecision>,
}

/// What somebody decided about it there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RecordDecision {
    pub by: String,
    pub decision: String,
    pub reason: String,
    pub at_ms: i64,
}

/// A bundle whose form is right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle<'a> {
    /// The signer's public key, as the bundle names it: base64.
    pub key: &'a str,
    pub signature: &'a str,
    /// What the signature is of.
    pub signed: String,
    pub record: Record,
    /// For [`crate::package::read`].
    pub package: &'a [u8],
}

/// Whether bytes say that they are a bundle.
pub fn is_bundle(bytes: &[u8]) -> bool {
    bytes.strip_prefix(MAGIC).is_some_and(|rest| rest.first() == Some(&b'\n'))
}

/// The text that is signed for a record, as it stands in the bundle, and a package.
pub fn signed_text(record: &[u8], package: &[u8]) -> String {
    let sum = |bytes| hex(&Sha256::digest(bytes));
    format!("creel-skill-bundle-v1\n{}\n{}\n", sum(record), sum(package))
}

/// Puts a bundle together. `sign` gives the base64 signature of a text.
///
/// # Errors
/// Where the record is larger than one may be.
pub fn write(
    key: &str,
    record: &Record,
    package: &[u8],
    sign: impl FnOnce(&str) -> String,
) -> Result<Vec<u8>, PackageError> {
    let record = serde_json::to_vec(record).map_err(|_| bad("its record cannot be written"))?;
    if record.len() > RECORD_BYTES_MAX {
        return Err(bad("its record is too large"));
    }
    let signature = sign(&signed_text(&record, package));
    let mut bytes = MAGIC.to_vec();
    for line in ["", key, &signature, &record.len().to_string()] {
        bytes.extend_from_slice(line.as_bytes());
        bytes.push(b'\n');
    }
    // The first of the lines above is the end of the one that says what it is.
    bytes.extend_from_slice(&record);
    bytes.extend_from_slice(package);
    Ok(bytes)
}

/// A skill's content, as [`crate::package::pack`] makes it, as the package of a bundle.
///
/// # Errors
/// None that is known: it is written to memory.
pub fn compressed(content: &[u8]) -> Result<Vec<u8>, PackageError> {
    let mut gz = GzEncoder::new(Vec::new(), Compression::default());
    gz.write_all(content).and_then(|()| gz.finish()).map_err(|_| bad("it cannot be written"))
}

/// Reads a bundle's form and its record.
///
/// # Errors
/// `Package.BadBundle`, in words.
pub fn read(bytes: &[u8]) -> Result<Bundle<'_>, PackageError> {
    let rest = bytes.strip_prefix(MAGIC).and_then(|rest| rest.strip_prefix(b"\n"));
    let rest = rest.ok_or_else(|| bad("it is none"))?;
    let (key, rest) = line(rest)?;
    let (signature, rest) = line(rest)?;
    let (length, rest) = line(rest)?;
    let length = length.parse::<usize>().ok().filter(|length| *length <= RECORD_BYTES_MAX);
    let (record, package) = length
        .and_then(|length| rest.split_at_checked(length))
        .ok_or_else(|| bad("its record does not have the length that it says"))?;
    let signed = signed_text(record, package);
    let record: Record = serde_json::from_slice(record).map_err(|_| bad("its record cannot be read"))?;
    check(&record)?;
    Ok(Bundle { key, signature, signed, record, package })
}

fn line(bytes: &[u8]) -> Result<(&str, &[u8]), PackageError> {
    let end = bytes.iter().take(LINE_BYTES_MAX + 1).position(|byte| *byte == b'\n');
    let (line, rest) =
        end.and_then(|end| bytes.split_at_checked(end)).ok_or_else(|| bad("it is cut off or damaged"))?;
    let text = std::str::from_utf8(line).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_graphic()));
    Ok((text.ok_or_else(|| bad("it is damaged"))?, rest.get(1..).unwrap_or_default()))
}

/// What is shown and kept of it has its limits.
fn check(record: &Record) -> Result<(), PackageError> {
    let is_hash =
        |text: &str| text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if !is_skill_name(&record.slug) {
        return Err(bad("its record has no name of a skill"));
    }
    if normal_version(&record.version).ok().flatten().as_deref() != Some(record.version.as_str()) {
        return Err(bad("its record has no semantic version"));
    }
    if !is_hash(&record.content_hash) || !is_hash(&record.package_hash) {
        return Err(bad("its record has no hashes"));
    }
    let decision = record.decision.as_ref();
    let texts = [
        &record.uploaded_by,
        &record.uploaded_from,
        &record.source,
        &record.exported_by,
        &record.publish_status,
        &record.scan_status,
        &record.scan_reason,
        &record.scan_rules,
    ];
    let decided = decision.into_iter().flat_map(|it| [&it.by, &it.decision, &it.reason]);
    let is_long = |text: &&String| text.chars().count() > TEXT_CHARS_MAX;
    if texts.into_iter().chain(decided).any(|text| is_long(&text))
        || record.change_log.chars().count() > CHANGE_LOG_CHARS_MAX
    {
        return Err(bad("a text of its record is too long"));
    }
    let times = [Some(record.created_at_ms), Some(record.exported_at_ms), record.scanned_at_ms];
    let mut times = times.into_iter().flatten().chain(decision.map(|it| it.at_ms));
    if times.any(|at_ms| !(0..=TIME_MS_MAX).contains(&at_ms)) {
        return Err(bad("a time of its record is none"));
    }
    Ok(())
}

/// Why a bundle is not taken; also for those who check what is not its form.
pub fn bad(why: &str) -> PackageError {
    let message = format!("the bundle of another Creel cannot be used: {why}; export it again");
    PackageError { code: BAD_BUNDLE, message }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record {
            slug: "fish".into(),
            version: "1.0.0".into(),
            content_hash: "0".repeat(64),
            change_log: "First.".into(),
            uploaded_by: "somebody".into(),
            uploaded_from: "192.0.2.1".into(),
            package_hash: "1".repeat(64),
            source: "upload".into(),
            created_at_ms: 1,
            exported_by: "somebody".into(),
            exported_at_ms: 2,
            publish_status: "PUBLISHED".into(),
            scan_status: "PASSED".into(),
            scan_reason: String::new(),
            scan_rules: "1".into(),
            scanned_at_ms: None,
            report: None,
            decision: None,
        }
    }

    fn written(record: &Record) -> Vec<u8> {
        write("KEY=", record, b"package", |text| format!("{}==", text.len())).unwrap()
    }

    #[test]
    fn what_was_written_is_read() {
        let bytes = written(&record());
        assert!(is_bundle(&bytes) && !is_bundle(b"creel-skill-bundle-1x") && !is_bundle(b"PK"));
        let bundle = read(&bytes).unwrap();
        assert_eq!((bundle.key, bundle.package), ("KEY=", b"package".as_slice()));
        assert_eq!(bundle.signature, format!("{}==", bundle.signed.len()));
        assert_eq!(bundle.record, record());
    }

    #[test]
    fn every_byte_of_the_record_and_the_package_is_signed() {
        let bytes = written(&record());
        let signed = read(&bytes).unwrap().signed;
        let head = bytes.windows(2).position(|two| two == b"\n{").unwrap() + 1;
        for place in head..bytes.len() {
            let mut other = bytes.clone();
            other[place] ^= 1;
            assert!(read(&other).map_or(true, |bundle| bundle.signed != signed), "{place}");
        }
        // Bytes cannot be moved from one to the other.
        let mut shifted = bytes.clone();
        shifted.push(b'x');
        assert_ne!(read(&shifted).unwrap().signed, signed);
    }

    #[test]
    fn what_is_no_bundle_is_refused_with_one_code() {
        let good = written(&record());
        let with = |change: fn(&mut Record)| {
            let mut record = record();
            change(&mut record);
            written(&record)
        };
        let text = |text: &str| [MAGIC, b"\n", text.as_bytes()].concat();
        for (what, bytes) in [
            ("nothing", Vec::new()),
            ("another", b"PK\x03\x04".to_vec()),
            ("no key", text("")),
            ("a long line", text(&"a".repeat(200))),
            ("control characters", text("a\x01\nb\n2\n{}")),
            ("no length", text("a\nb\n-1\n{}")),
            ("a record that is not there", text("a\nb\n3\n{}")),
            ("a large record", text(&format!("a\nb\n{}\n{{}}", RECORD_BYTES_MAX + 1))),
            ("another record", text("a\nb\n2\n{}")),
            ("deep JSON", text(&format!("a\nb\n100000\n{}", "[".repeat(100_000)))),
            ("no name", with(|it| it.slug = "../fish".into())),
            ("no version", with(|it| it.version = "1".into())),
            ("no hash", with(|it| it.content_hash = "A".repeat(64))),
            ("a long text", with(|it| it.scan_reason = "x".repeat(TEXT_CHARS_MAX + 1))),
            ("a time", with(|it| it.exported_at_ms = i64::MAX)),
        ] {
            assert_eq!(read(&bytes).unwrap_err().code, BAD_BUNDLE, "{what}");
        }
        for end in 0..good.len() - b"package".len() {
            assert!(read(&good[..end]).is_err(), "{end}");
        }
    }
}
