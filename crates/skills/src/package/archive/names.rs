//! Names of entries: bytes in some encoding, and what other systems take for the same name.

use encoding_rs::{GBK, UTF_8};
use unicode_normalization::UnicodeNormalization;

/// A name that is UTF-8, or GBK as archives from Chinese Windows have it; `None` for any other encoding.
///
/// Composed (NFC), as everything but macOS writes names, so that a text that names a file finds it.
pub(super) fn decoded(raw: &[u8]) -> Option<String> {
    let name = UTF_8.decode_without_bom_handling_and_without_replacement(raw).or_else(|| {
        let name = GBK.decode_without_bom_handling_and_without_replacement(raw)?;
        is_likely_gbk(raw).then_some(name)
    })?;
    Some(composed(&name))
}

pub(super) fn composed(name: &str) -> String {
    name.nfc().collect()
}

/// Without the `./` that `tar .` writes.
pub(super) fn relative(path: &str) -> String {
    path.strip_prefix("./").unwrap_or(path).to_owned()
}

/// Many a Western name also decodes as GBK. Those meant as GBK consist of the characters of GB 2312, whose two
/// bytes are both above 0xA0.
fn is_likely_gbk(raw: &[u8]) -> bool {
    let (mut common, mut rare) = (0, 0);
    let mut bytes = raw.iter();
    while let Some(first) = bytes.next() {
        if first.is_ascii() {
            continue;
        }
        match (*first, bytes.next().copied()) {
            (0xA1..=0xF7, Some(0xA1..=0xFE)) => common += 1,
            _ => rare += 1,
        }
    }
    common > rare
}

/// A path as a file system sees it that knows neither case nor forms of accents.
pub(super) fn folded(path: &str) -> String {
    let upper: String = path.nfkc().collect::<String>().to_uppercase();
    upper.to_lowercase().nfkc().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_utf_8_or_gbk_and_composed() {
        let (gbk, _, _) = GBK.encode("技能/说明.md");
        for (raw, name) in [
            (b"plain.txt".as_slice(), Some("plain.txt")),
            ("技能/说明.md".as_bytes(), Some("技能/说明.md")),
            (&gbk, Some("技能/说明.md")),
            ("cafe\u{301}.txt".as_bytes(), Some("café.txt")),
            // code page 437: that this decodes as GBK, too, is no reason
            (b"M\x81ller.txt", None),
            (b"caf\x82.txt", None),
            (b"\xff\xfe", None),
        ] {
            assert_eq!(decoded(raw).as_deref(), name, "{}", raw.escape_ascii());
        }
    }

    #[test]
    fn what_one_system_takes_for_the_same_name_folds_to_the_same() {
        for (left, right) in
            [("A.md", "a.MD"), ("café", "CAFE\u{301}"), ("straße", "STRASSE"), ("ﬁle", "file"), ("Σ", "ς")]
        {
            assert_eq!(folded(left), folded(right));
        }
        assert_ne!(folded("a"), folded("b"));
        assert_ne!(folded("技"), folded("能"));
    }
}
