//! Finds what is written in another alphabet inside a text: base64, hex, escapes, lists of character codes.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use regex::Regex;

use super::kind::{self, Kind};

/// Characters of an encoded text at the least: shorter ones hide nothing that matters.
const ENCODED_MIN: usize = 20;
/// Encoded texts that are looked at in one text; what is beyond is not read.
pub(super) const BLOBS_MAX: usize = 200_000;

/// What was found, decoded.
#[derive(Debug)]
pub(super) struct Blob {
    /// Where it stands.
    pub(super) offset: usize,
    pub(super) encoding: &'static str,
    pub(super) bytes: Vec<u8>,
}

/// The patterns, compiled once.
#[derive(Debug)]
pub(super) struct Decoder {
    base64: Regex,
    hex: Regex,
    escapes: Regex,
    percent: Regex,
    entities: Regex,
    codes: Regex,
}

const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);
const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_allow_trailing_bits(true)
    .with_decode_padding_mode(DecodePaddingMode::Indifferent);

impl Decoder {
    pub(super) fn new() -> Result<Self, regex::Error> {
        Ok(Self {
            base64: Regex::new(
                r"[A-Za-z0-9+/_-]{20,}(?:(?:\\?\r?\n|\\n)[ \t]*[A-Za-z0-9+/_-]{16,})*(?:\r?\n[ \t]*[A-Za-z0-9+/_-]{2,}={1,2}|={0,2})",
            )?,
            hex: Regex::new(r"(?:[0-9a-fA-F]{2}[ :,]?){16,}")?,
            escapes: Regex::new(
                r"(?:\\(?:x[0-9a-fA-F]{2}|u\{?[0-9a-fA-F]{2,6}\}?|U[0-9a-fA-F]{8}|[0-3][0-7]{2})){6,}",
            )?,
            percent: Regex::new(r"(?:%[0-9a-fA-F]{2}[\w./:-]{0,2}){8,}")?,
            entities: Regex::new(r"(?:&#(?:x[0-9a-fA-F]{1,6}|\d{1,7});){6,}")?,
            codes: Regex::new(r"(?:(?:0x)?[0-9a-fA-F]{2,3}\s*,\s*){12,}(?:0x)?[0-9a-fA-F]{2,3}")?,
        })
    }

    /// Every encoded part of `text` that means something when it is decoded: text, or a file of a known form. The
    /// second is whether all of them were looked at.
    pub(super) fn blobs(&self, text: &str) -> (Vec<Blob>, bool) {
        let mut blobs = Vec::new();
        let mut seen = 0_usize;
        let mut try_all = |pattern: &Regex, encoding: &'static str, decode: fn(&str) -> Option<Vec<u8>>| {
            for found in pattern.find_iter(text) {
                seen += 1;
                if seen > BLOBS_MAX {
                    return;
                }
                if let Some(bytes) = decode(found.as_str()).filter(|bytes| means_something(bytes)) {
                    blobs.push(Blob { offset: found.start(), encoding, bytes });
                }
            }
        };
        try_all(&self.base64, "base64", base64_decoded);
        try_all(&self.hex, "hex", hex_decoded);
        try_all(&self.escapes, "escapes", escapes_decoded);
        try_all(&self.percent, "percent", percent_decoded);
        try_all(&self.entities, "entities", entities_decoded);
        try_all(&self.codes, "codes", codes_decoded);
        (blobs, seen <= BLOBS_MAX)
    }
}

/// Random letters decode to random bytes: only text and files of a known form are worth reading.
fn means_something(bytes: &[u8]) -> bool {
    if bytes.len() < 10 {
        return false;
    }
    match kind::of("", bytes) {
        Kind::Markdown | Kind::Script | Kind::Data => std::str::from_utf8(bytes).is_ok_and(|text| {
            let good =
                text.chars().filter(|c| c.is_alphanumeric() || c.is_ascii_graphic() || c.is_whitespace());
            good.count() * 20 >= text.chars().count() * 19
        }),
        Kind::Archive | Kind::Pdf | Kind::Image(_) => true,
        Kind::Opaque(what) => what.starts_with("compiled") && bytes.len() > 64,
        Kind::Media => false,
    }
}

fn base64_decoded(found: &str) -> Option<Vec<u8>> {
    let packed: String =
        found.replace("\\n", "").chars().filter(|c| !c.is_whitespace() && *c != '\\').collect();
    // A path or a name in words is no base64.
    if packed.len() < ENCODED_MIN
        || packed.bytes().all(|b| b.is_ascii_lowercase() || matches!(b, b'_' | b'-' | b'/'))
    {
        return None;
    }
    let packed = packed.trim_end_matches('=');
    let usable = packed.len() - usize::from(packed.len() % 4 == 1);
    let packed = packed.get(..usable)?;
    STANDARD.decode(packed).or_else(|_| URL_SAFE.decode(packed)).ok()
}

fn hex_decoded(found: &str) -> Option<Vec<u8>> {
    let digits: Vec<u32> = found.chars().filter_map(|c| c.to_digit(16)).collect();
    digits.as_chunks::<2>().0.iter().map(|[high, low]| u8::try_from(high * 16 + low).ok()).collect()
}

fn escapes_decoded(found: &str) -> Option<Vec<u8>> {
    let mut out = String::new();
    for part in found.split('\\').skip(1) {
        let digits = part.trim_start_matches(['x', 'u', 'U', '{']).trim_end_matches('}');
        let radix = if part.starts_with(|c: char| c.is_ascii_digit()) { 8 } else { 16 };
        out.push(char::from_u32(u32::from_str_radix(digits, radix).ok()?)?);
    }
    Some(out.into_bytes())
}

fn percent_decoded(found: &str) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut rest = found;
    while let Some(first) = rest.chars().next() {
        if first == '%' {
            out.push(u8::from_str_radix(rest.get(1..3)?, 16).ok()?);
            rest = rest.get(3..)?;
        } else {
            out.extend(first.to_string().bytes());
            rest = rest.get(first.len_utf8()..)?;
        }
    }
    Some(out)
}

fn entities_decoded(found: &str) -> Option<Vec<u8>> {
    let mut out = String::new();
    for part in found.split(';').filter(|part| !part.is_empty()) {
        let digits = part.strip_prefix("&#")?;
        let code = match digits.strip_prefix('x') {
            Some(hex) => u32::from_str_radix(hex, 16),
            None => digits.parse(),
        };
        out.push(char::from_u32(code.ok()?)?);
    }
    Some(out.into_bytes())
}

fn codes_decoded(found: &str) -> Option<Vec<u8>> {
    found
        .split(',')
        .map(|part| match part.trim().strip_prefix("0x") {
            Some(hex) => u8::from_str_radix(hex, 16).ok(),
            None => part.trim().parse().ok(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(text: &str) -> Option<String> {
        let (blobs, all) = Decoder::new().expect("the patterns are good").blobs(text);
        assert!(all);
        blobs.into_iter().next().map(|blob| String::from_utf8(blob.bytes).expect("text"))
    }

    #[test]
    fn every_alphabet_is_read() {
        for (text, says) in [
            ("x = 'ZWNobyBoZWxsbyB3b3JsZCBhZ2Fpbg=='", "echo hello world again"),
            ("x = 'ZWNobyBoZWxsbyB3b3Js\nZCBhZ2Fpbg=='", "echo hello world again"),
            ("6563686f2068656c6c6f20776f726c6420616761696e", "echo hello world again"),
            (r"\x65\x63\x68\x6f\x20\x68\x65\x6c\x6c\x6f", "echo hello"),
            (r"\u0065\u0063\u0068\u006f\u0020\u0068\u0065\u006c\u006c\u006f", "echo hello"),
            ("%65%63%68%6f%20%68%65%6c%6c%6f", "echo hello"),
            ("&#101;&#99;&#104;&#111;&#32;&#104;&#101;&#108;&#108;&#111;", "echo hello"),
            ("[101, 99, 104, 111, 32, 104, 101, 108, 108, 111, 32, 104, 105]", "echo hello hi"),
        ] {
            assert_eq!(first(text).as_deref(), Some(says), "{text}");
        }
    }

    #[test]
    fn words_and_hashes_are_no_messages() {
        for text in [
            "skills/some-long-folder-name/with-a-file-name",
            "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "getUserNameFromTheDatabaseConnection",
        ] {
            assert_eq!(first(text), None, "{text}");
        }
    }
}
