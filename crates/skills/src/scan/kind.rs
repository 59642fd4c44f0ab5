//! What a file is, by its bytes; its name only decides between kinds of text.

/// What a file is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Words for people and models, with code between them.
    Markdown,
    /// Source code or commands.
    Script,
    /// Any other text: data, configuration, pages.
    Data,
    Image(Image),
    /// Fonts, sound, films, databases of a known form: no code that anything would run.
    Media,
    Pdf,
    /// Zip, tar or gzip: files inside.
    Archive,
    /// Code that these rules cannot read, or a format that they do not know; the text says which.
    Opaque(&'static str),
}

/// Images whose end can be told, so that what follows it is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Image {
    Png,
    Jpeg,
    Gif,
    Webp,
    Other,
}

const COMPILED: &[(&[u8], &str)] = &[
    (b"\x7fELF", "compiled code (ELF)"),
    (b"MZ", "compiled code (PE)"),
    (b"\xfe\xed\xfa\xce", "compiled code (Mach-O)"),
    (b"\xfe\xed\xfa\xcf", "compiled code (Mach-O)"),
    (b"\xce\xfa\xed\xfe", "compiled code (Mach-O)"),
    (b"\xcf\xfa\xed\xfe", "compiled code (Mach-O)"),
    (b"\xca\xfe\xba\xbe", "compiled code (Java or Mach-O)"),
    (b"\0asm", "compiled code (WebAssembly)"),
    (b"\x1bLua", "compiled code (Lua)"),
    (b"dex\n", "compiled code (Android)"),
    (b"BC\xc0\xde", "compiled code (LLVM)"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office file, which can hold macros and encryption"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"\xfd7zXZ\0", "an xz archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive"),
    (b"!<arch>\n", "a library or Debian package"),
    (b"\xed\xab\xee\xdb", "an RPM package"),
    (b"MSCF", "a cabinet archive"),
    (b"xar!", "a macOS package"),
    (b"Salted__", "encrypted data"),
    (b"age-encryption.org/", "encrypted data"),
];

const MEDIA: &[(usize, &[u8])] = &[
    (0, b"wOFF"),
    (0, b"wOF2"),
    (0, b"\0\x01\0\0\0"),
    (0, b"OTTO"),
    (0, b"ttcf"),
    (0, b"true\0"),
    (0, b"ID3"),
    (0, b"\xff\xfb"),
    (0, b"\xff\xf3"),
    (0, b"\xff\xf1"),
    (0, b"OggS"),
    (0, b"fLaC"),
    (4, b"ftyp"),
    (0, b"\x1a\x45\xdf\xa3"),
    (8, b"WAVE"),
    (8, b"AVI "),
    (0, b"MThd"),
    (0, b"SQLite format 3\0"),
    (0, b"\0\0\0\x01Bud1"),
    (0, b"\x93NUMPY"),
    (0, b"PAR1"),
    (0, b"glTF"),
];

const SCRIPTS: &[&str] = &[
    "sh",
    "bash",
    "zsh",
    "fish",
    "ksh",
    "command",
    "py",
    "pyw",
    "pyi",
    "js",
    "mjs",
    "cjs",
    "jsx",
    "ts",
    "tsx",
    "mts",
    "cts",
    "rb",
    "pl",
    "pm",
    "php",
    "lua",
    "go",
    "rs",
    "java",
    "kt",
    "kts",
    "swift",
    "c",
    "h",
    "cc",
    "cpp",
    "hpp",
    "cs",
    "scala",
    "r",
    "jl",
    "ps1",
    "psm1",
    "psd1",
    "bat",
    "cmd",
    "vbs",
    "vbe",
    "wsf",
    "hta",
    "applescript",
    "scpt",
    "awk",
    "tcl",
    "ex",
    "exs",
    "erl",
    "hs",
    "clj",
    "groovy",
    "gradle",
    "dart",
    "sol",
    "nim",
    "zig",
    "sql",
    "mk",
    "cmake",
    "nix",
];

const MARKDOWN: &[&str] = &["md", "mdx", "mdc", "markdown", "rst", "adoc", "txt", "org"];

/// What `bytes` under `path` are.
pub(super) fn of(path: &str, bytes: &[u8]) -> Kind {
    let at = |offset: usize, magic: &[u8]| bytes.get(offset..).is_some_and(|rest| rest.starts_with(magic));
    let name = path.rsplit('/').next().unwrap_or(path).to_lowercase();
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    if is_compressed_tar_or_zip(bytes) {
        return Kind::Archive;
    }
    if at(0, b"%PDF-") {
        return Kind::Pdf;
    }
    match () {
        () if at(0, b"\x89PNG\r\n\x1a\n") => return Kind::Image(Image::Png),
        () if at(0, b"\xff\xd8\xff") => return Kind::Image(Image::Jpeg),
        () if at(0, b"GIF8") => return Kind::Image(Image::Gif),
        () if at(0, b"RIFF") && at(8, b"WEBP") => return Kind::Image(Image::Webp),
        () if at(0, b"\0\0\x01\0") || at(0, b"II*\0") || at(0, b"MM\0*") || at(0, b"icns") => {
            return Kind::Image(Image::Other);
        }
        () if at(0, b"BM") && !is_text(bytes) => return Kind::Image(Image::Other),
        () => {}
    }
    if let Some((_, what)) = COMPILED.iter().find(|(magic, _)| at(0, magic)).filter(|_| !is_text(bytes)) {
        return Kind::Opaque(what);
    }
    if extension == "pyc" || extension == "pyo" {
        return Kind::Opaque("compiled code (Python)");
    }
    if !is_text(bytes) {
        if MEDIA.iter().any(|(offset, magic)| at(*offset, magic)) {
            return Kind::Media;
        }
        if at(0, b"\x80\x02") || at(0, b"\x80\x03") || at(0, b"\x80\x04") || at(0, b"\x80\x05") {
            return Kind::Opaque("a Python pickle, which can run code when it is loaded");
        }
        return Kind::Opaque("data of a form that is not known");
    }
    if bytes.starts_with(b"#!") || SCRIPTS.contains(&extension) {
        return Kind::Script;
    }
    if ["dockerfile", "makefile", "justfile", "rakefile", "gemfile", "vagrantfile", "jenkinsfile", "procfile"]
        .iter()
        .any(|special| name == *special || extension == *special)
    {
        return Kind::Script;
    }
    if MARKDOWN.contains(&extension) || ["readme", "license", "changelog", "skill"].contains(&name.as_str()) {
        return Kind::Markdown;
    }
    Kind::Data
}

/// Whether [`crate::package`] can open it.
fn is_compressed_tar_or_zip(bytes: &[u8]) -> bool {
    bytes.starts_with(b"PK\x03\x04")
        || bytes.starts_with(b"PK\x05\x06")
        || bytes.starts_with(b"\x1f\x8b")
        || bytes.get(257..262).is_some_and(|magic| magic == b"ustar")
}

/// Whether these are characters rather than numbers: UTF-8 or UTF-16 without controls, or an old encoding in which
/// nearly every byte could be a character.
fn is_text(bytes: &[u8]) -> bool {
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return bytes.len().is_multiple_of(2);
    }
    let control =
        |byte: &u8| *byte < 0x20 && !matches!(byte, b'\n' | b'\r' | b'\t' | 0x0c | 0x1b | 0x08 | 0x07);
    let controls = bytes.iter().filter(|byte| control(byte)).count();
    if std::str::from_utf8(bytes).is_ok() {
        // A stray control character does not make text into something else; zeros do.
        return controls * 20 <= bytes.len() && !bytes.contains(&0);
    }
    let high = bytes.iter().filter(|byte| **byte >= 0x80).count();
    controls == 0 && high * 10 <= bytes.len() * 9
}

/// The text of `bytes`, which [`of`] called text.
pub(super) fn decoded(bytes: &[u8]) -> String {
    let units = |from: fn([u8; 2]) -> u16| -> String {
        let pairs = bytes.as_chunks::<2>().0.iter().skip(1).map(|pair| from(*pair));
        char::decode_utf16(pairs).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
    };
    match bytes {
        [0xff, 0xfe, ..] => units(u16::from_le_bytes),
        [0xfe, 0xff, ..] => units(u16::from_be_bytes),
        _ => String::from_utf8_lossy(bytes).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told_by_bytes_before_names() {
        let kind = |path: &str, bytes: &[u8]| of(path, bytes);
        assert_eq!(kind("a/SKILL.md", b"# Hi"), Kind::Markdown);
        assert_eq!(kind("run", b"#!/bin/sh\n"), Kind::Script);
        assert_eq!(kind("x.json", b"{}"), Kind::Data);
        assert_eq!(kind("logo.png", b"#!/bin/sh\n"), Kind::Script);
        assert_eq!(kind("notes.md", b"\x7fELF\x02\x01\x01\0\0\0"), Kind::Opaque("compiled code (ELF)"));
        assert_eq!(kind("m.md", b"MZ is a magic number, BM too."), Kind::Markdown);
        assert_eq!(kind("x.bin", b"\x01\x02\0\x03"), Kind::Opaque("data of a form that is not known"));
        assert_eq!(kind("x.txt", "中文".as_bytes()), Kind::Markdown);
        assert_eq!(kind("gbk.txt", b"\xd6\xd0\xce\xc4 abc def"), Kind::Markdown);
    }

    #[test]
    fn utf_16_is_text() {
        let bytes = [0xff, 0xfe, b'h', 0, b'i', 0];
        assert_eq!(of("a.md", &bytes), Kind::Markdown);
        assert_eq!(decoded(&bytes), "hi");
    }
}
