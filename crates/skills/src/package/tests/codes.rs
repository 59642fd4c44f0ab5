//! Every code is reached by a package that nothing else is wrong with.

use std::collections::BTreeSet;

use creel_wire::skill_content::{FILE_BYTES_MAX, FILES_MAX};
use tar::EntryType::{Block, Char, Fifo, GNUSparse, Link, Regular, Symlink, XGlobalHeader, XHeader};
use zip::CompressionMethod;
use zip::write::SimpleFileOptions;

use super::*;
use crate::package::{PACKAGE_BYTES_MAX, PackageError, read};

struct Case {
    code: &'static str,
    what: &'static str,
    package: Vec<u8>,
    /// Part of the message.
    says: &'static str,
}

fn case(code: &'static str, what: &'static str, package: Vec<u8>, says: &'static str) -> Case {
    Case { code, what, package, says }
}

/// A package of one `SKILL.md` with this front matter.
fn with_front_matter(front_matter: &str) -> Vec<u8> {
    format!("---\n{front_matter}\n---\nText.\n").into_bytes()
}

fn with_path(path: &str) -> Vec<u8> {
    zipped(&[("SKILL.md", SKILL.as_bytes()), (path, b"x")])
}

fn tar_with(kind: tar::EntryType, name: &[u8], bytes: &[u8]) -> Vec<u8> {
    tarred(&[(Regular, b"SKILL.md", SKILL.as_bytes()), (kind, name, bytes)])
}

fn stored() -> SimpleFileOptions {
    SimpleFileOptions::default().compression_method(CompressionMethod::Stored)
}

/// Of the bytes of a zip with one stored file, what the directory says at `offset` behind its signature.
fn directory_patched(offset: usize, to: &[u8]) -> Vec<u8> {
    let mut bytes = zipped_with(&[("SKILL.md", SKILL.as_bytes())], stored());
    let at = memchr::memmem::rfind(&bytes, b"PK\x01\x02").unwrap() + offset;
    bytes[at..at + to.len()].copy_from_slice(to);
    bytes
}

fn archives() -> Vec<Case> {
    let skill = SKILL.as_bytes();
    let long = format!("{}/{}", "a".repeat(130), "b".repeat(130));
    let deep = ["d"; 13].join("/");
    let good = zipped(&[("SKILL.md", skill)]);
    let many: Vec<_> = (0..=FILES_MAX).map(|at| (format!("f/{at}"), Vec::new())).collect();
    let many: Vec<_> = many.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())).collect();
    let many_entries: Vec<_> = (0..=4 * FILES_MAX).map(|at| format!("f{at}/")).collect();
    let many_entries: Vec<_> = many_entries.iter().map(|path| (path.as_str(), b"".as_slice())).collect();
    // enough that cannot be compressed that it is the size and not the ratio that is too large
    let mut state = 1_u64;
    let mut noise = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    };
    let large: Vec<u8> = (0..400_000).map(|_| noise()).collect();
    let ballast = |size: u64| vec![b'x'; usize::try_from(size).unwrap()];
    let too_large = ballast(FILE_BYTES_MAX + 1);
    let half = ballast(FILE_BYTES_MAX - 1);
    let lying = directory_patched(24, &9_u32.to_le_bytes());
    let mut hidden = zipped_with(&[("SKILL.md", skill), ("hidden", b"x")], stored());
    let second = memchr::memmem::rfind(&hidden, b"PK\x01\x02").unwrap();
    let end = memchr::memmem::rfind(&hidden, b"PK\x05\x06").unwrap();
    let length = u32::try_from(end - second).unwrap();
    hidden.drain(second..end);
    let end = end - usize::try_from(length).unwrap();
    let size = u32::from_le_bytes(hidden[end + 12..end + 16].try_into().unwrap()) - length;
    hidden[end + 8..end + 12].copy_from_slice(&[1, 0, 1, 0]);
    hidden[end + 12..end + 16].copy_from_slice(&size.to_le_bytes());
    let mut behind = tar_of(&[("SKILL.md", skill)]);
    behind.extend_from_slice(&tar_of(&[("hidden", b"x")]));
    vec![
        case("Package.ReadFailed", "nothing", Vec::new(), "none of zip"),
        case("Package.ReadFailed", "a picture", b"\x89PNG\r\n\x1a\n\0\0".to_vec(), "none of zip"),
        case("Package.ReadFailed", "a text", b"Hello.".to_vec(), "none of zip"),
        case("Package.ReadFailed", "half a zip", good[..good.len() / 2].to_vec(), "cannot be read"),
        case(
            "Package.ReadFailed",
            "other bytes",
            patched(zipped_with(&[("SKILL.md", skill)], stored()), b"Fills", b"Kills"),
            "SKILL.md",
        ),
        case(
            "Package.ReadFailed",
            "half a gzip",
            gzipped(&tar_of(&[("SKILL.md", skill)]))[..90].to_vec(),
            "cannot be read",
        ),
        case(
            "Package.ReadFailed",
            "half a tar",
            tar_of(&[("SKILL.md", skill)])[..520].to_vec(),
            "ends before",
        ),
        case("Package.Unsupported", "another archive", b"7z\xbc\xaf\x27\x1c\0\x04".to_vec(), "7z"),
        case("Package.Unsupported", "another method", headers_patched(10, &[12, 0]), "Deflate"),
        case(
            "Package.TooLarge",
            "too large",
            vec![b' '; usize::try_from(PACKAGE_BYTES_MAX + 1).unwrap()],
            "33554432",
        ),
        case("Package.TooManyFiles", "too many files", zipped(&many), "more than 2000"),
        case("Package.TooManyFiles", "too many files in a tar", tar_of(&many), "more than 2000"),
        case("Package.TooManyFiles", "too many folders", zipped(&many_entries), "files"),
        case(
            "Package.FileTooLarge",
            "a large file",
            zipped(&[("SKILL.md", skill), ("noise", &large), ("large", &too_large)]),
            "`large`",
        ),
        case(
            "Package.FileTooLarge",
            "a large file in a tar",
            gzipped(&tar_of(&[("noise", &large), ("large", &too_large)])),
            "`large`",
        ),
        case(
            "Package.ContentTooLarge",
            "large files",
            zipped(&[("noise", &large), ("noise2", &large), ("a", &half), ("b", &half), ("c", &half)]),
            "together",
        ),
        case(
            "Package.ExpandsTooMuch",
            "a zip bomb",
            zipped(&[("SKILL.md", skill), ("bomb", &half)]),
            "`bomb`",
        ),
        case("Package.ExpandsTooMuch", "a gzip bomb", gzipped(&half), "100 times"),
        case("Package.Inconsistent", "another size in front of the file", lying, "contradict"),
        case(
            "Package.Inconsistent",
            "another name in front of the file",
            directory_patched(46, b"README.t"),
            "contradict",
        ),
        case("Package.Inconsistent", "a file that the directory does not have", hidden, "contradict"),
        case("Package.Inconsistent", "entries that overlap", overlapping(), "contradict"),
        case("Package.Inconsistent", "a second tar behind the first", behind, "behind its end"),
        case(
            "Package.Inconsistent",
            "a header for all",
            tar_with(XGlobalHeader, b"g", b"18 path=elsewhere\n"),
            "global",
        ),
        case(
            "Package.Inconsistent",
            "a folder with bytes",
            tar_with(tar::EntryType::Directory, b"d/", b"x"),
            "bytes of its own",
        ),
        case("Package.Encrypted", "a password", headers_patched(8, &[1, 0]), "password"),
        case("Package.UnsafePath", "up", with_path("../x"), "`../x`"),
        case("Package.UnsafePath", "up and down", with_path("a/../../x"), ".."),
        case("Package.UnsafePath", "absolute", with_path("/etc/passwd"), "/etc/passwd"),
        case("Package.UnsafePath", "a drive", with_path("C:/x"), "C:/x"),
        case("Package.UnsafePath", "backslashes", patched(with_path("a/x"), b"a/x", b"a\\x"), "a\\\\x"),
        case("Package.UnsafePath", "a stream of NTFS", with_path("a:x"), "a:x"),
        case("Package.UnsafePath", "a dot at the end", with_path("a."), "`a.`"),
        case("Package.UnsafePath", "a bell", tar_with(Regular, b"a\x07", b"x"), "\\u{7}"),
        case("Package.UnsafePath", "up, in a tar", tar_with(Regular, b"../x", b"x"), "`../x`"),
        case("Package.UnsafePath", "nothing", tar_with(Regular, b"a//x", b"x"), "a//x"),
        case("Package.PathTooLong", "a long path", with_path(&long), "240 bytes"),
        case("Package.PathTooLong", "a long name", with_path(&"n".repeat(241)), "240 bytes"),
        case("Package.PathTooDeep", "a deep path", with_path(&deep), "12 folders"),
        case(
            "Package.DuplicatePath",
            "the same name",
            patched(with_path("SKILL.MD"), b"SKILL.MD", b"SKILL.md"),
            "same name",
        ),
        case(
            "Package.DuplicatePath",
            "another case",
            zipped(&[("SKILL.md", skill), ("a.txt", b""), ("A.TXT", b"")]),
            "A.TXT",
        ),
        case("Package.DuplicatePath", "a second skill file", with_path("skill.md"), "twice"),
        case(
            "Package.DuplicatePath",
            "another form",
            zipped(&[("SKILL.md", skill), ("caf\u{e9}", b""), ("cafe\u{301}", b"")]),
            "twice",
        ),
        case(
            "Package.DuplicatePath",
            "a file and a folder",
            zipped(&[("SKILL.md", skill), ("A", b""), ("a/b", b"")]),
            "twice",
        ),
        case(
            "Package.DuplicatePath",
            "a folder and a file",
            zipped(&[("SKILL.md", skill), ("a/b", b""), ("A", b"")]),
            "twice",
        ),
        case("Package.DuplicatePath", "twice in a tar", tar_with(Regular, b"SKILL.md", b"x"), "twice"),
        case("Package.LinkRefused", "a link in a zip", linked(), "`link`"),
        case("Package.LinkRefused", "a symbolic link", tar_with(Symlink, b"link", b""), "`link`"),
        case("Package.LinkRefused", "a hard link", tar_with(Link, b"link", b""), "`link`"),
        case("Package.SpecialFile", "a device", tar_with(Char, b"tty", b""), "`tty`"),
        case("Package.SpecialFile", "a disk", tar_with(Block, b"sda", b""), "`sda`"),
        case("Package.SpecialFile", "a pipe", tar_with(Fifo, b"pipe", b""), "`pipe`"),
        case("Package.SpecialFile", "a sparse file", tar_with(GNUSparse, b"sparse", b""), "`sparse`"),
        case(
            "Package.SpecialFile",
            "a sparse file in disguise",
            tarred(&[(XHeader, b"x", b"22 GNU.sparse.major=1\n"), (Regular, b"SKILL.md", skill)]),
            "SKILL.md",
        ),
        case(
            "Package.BadEncoding",
            "a name in no known encoding",
            tar_with(Regular, b"caf\xe9.txt", b"x"),
            "caf",
        ),
        case(
            "Package.BadEncoding",
            "a name that is not the UTF-8 it says",
            patched(with_path("é"), "é".as_bytes(), b"\xc3\xc3"),
            "encoding",
        ),
    ]
}

/// The same of both headers, so that they agree.
fn headers_patched(offset: usize, to: &[u8]) -> Vec<u8> {
    let mut bytes = directory_patched(offset, to);
    // the local header has no version of the writer, and is the first
    bytes[offset - 2..offset - 2 + to.len()].copy_from_slice(to);
    bytes
}

/// Two entries that share one file, as a bomb that needs no ratio has them.
fn overlapping() -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    writer.start_file("SKILL.md", stored()).unwrap();
    std::io::Write::write_all(&mut writer, SKILL.as_bytes()).unwrap();
    writer.shallow_copy_file("SKILL.md", "COPIED.m").unwrap();
    writer.finish().unwrap().into_inner()
}

fn linked() -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    writer.start_file("SKILL.md", stored()).unwrap();
    std::io::Write::write_all(&mut writer, SKILL.as_bytes()).unwrap();
    writer.add_symlink("link", "/etc/passwd", stored()).unwrap();
    writer.finish().unwrap().into_inner()
}

fn skill_files() -> Vec<Case> {
    let utf_16: Vec<u8> = SKILL.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let (gbk, _, _) = encoding_rs::GBK.encode("---\nname: a\ndescription: 技能\n---\n");
    let laughs = (1..12).fold("a0: &a0 [x, x]\n".to_owned(), |text, at| {
        let last = at - 1;
        format!("{text}a{at}: &a{at} [*a{last}, *a{last}, *a{last}, *a{last}]\n")
    });
    let front = |code, what, text: &str, says| case(code, what, with_front_matter(text), says);
    let deep = format!("name: a\ndescription: b\nx: {}", "[".repeat(2_000));
    vec![
        case("Package.BadEncoding", "UTF-16", [b"\xff\xfe".to_vec(), utf_16.clone()].concat(), "UTF-16"),
        case("Package.BadEncoding", "UTF-16 without a mark", zipped(&[("SKILL.md", &utf_16)]), "UTF-8"),
        case("Package.BadEncoding", "GBK", gbk.to_vec(), "GBK"),
        case("Package.NoSkillFile", "no skill file", zipped(&[("README.md", b"x")]), "none at all"),
        case("Package.NoSkillFile", "an empty archive", zipped(&[]), "none at all"),
        case(
            "Package.NoSkillFile",
            "two skills",
            zipped(&[("a/SKILL.md", b"x"), ("b/SKILL.md", b"x")]),
            "`a/SKILL.md`, `b/SKILL.md`",
        ),
        case("Package.NoSkillFile", "too deep", zipped(&[("a/b/SKILL.md", b"x")]), "`a/b/SKILL.md`"),
        case(
            "Package.FrontMatterTooLarge",
            "much front matter",
            with_front_matter(&"x: y\n".repeat(20_000)),
            "65536",
        ),
        case("Package.BadFrontMatter", "none", zipped(&[("SKILL.md", b"# Title\n")]), "no front matter"),
        case(
            "Package.BadFrontMatter",
            "no end",
            b"---\nname: a\ndescription: b\n".to_vec(),
            "without an end",
        ),
        front("Package.BadFrontMatter", "no YAML", "name: [a\ndescription: b", "line"),
        front("Package.BadFrontMatter", "no map", "- a\n- b", "not what it should be"),
        front(
            "Package.BadFrontMatter",
            "a description that is none",
            "name: a\ndescription: {a: b}",
            "not what it should be",
        ),
        front("Package.BadFrontMatter", "no name", "description: b", "`name`"),
        front("Package.BadFrontMatter", "a key twice", "name: a\nname: b\ndescription: c", "duplicate"),
        front(
            "Package.BadFrontMatter",
            "a billion laughs",
            &format!("name: a\ndescription: b\nmetadata:\n{}", laughs.replace("a", " a")),
            "not what it should be",
        ),
        front("Package.BadFrontMatter", "a deep tree", &deep, "not what it should be"),
        front(
            "Package.BadFrontMatter",
            "no variable",
            "name: a\ndescription: b\nmetadata: {openclaw: {requires: {env: ['A B']}}}",
            "A B",
        ),
        front(
            "Package.BadFrontMatter",
            "no program",
            "name: a\ndescription: b\nmetadata: {openclaw: {requires: {bins: ['a b']}}}",
            "a b",
        ),
        front("Package.BadName", "no name to be made", "name: 查找技能\ndescription: b", "查找技能"),
        front("Package.BadName", "a long name", &format!("name: {}\ndescription: b", "n".repeat(65)), "64"),
        front("Package.BadName", "a path", "name: ../a\ndescription: b", "../a"),
        front("Package.BadDescription", "no description", "name: a", "1024"),
        front(
            "Package.BadDescription",
            "a long description",
            &format!("name: a\ndescription: {}", "长".repeat(1_025)),
            "1024",
        ),
        front("Package.BadVersion", "no version", "name: a\ndescription: b\nversion: latest", "latest"),
        front(
            "Package.BadVersion",
            "four parts",
            "name: a\ndescription: b\nmetadata: {version: 1.2.3.4}",
            "1.2.3.4",
        ),
    ]
}

#[test]
fn every_code_is_reached_and_says_what_and_where() {
    let mut reached = BTreeSet::new();
    let mut wrong = Vec::new();
    for Case { code, what, package, says } in archives().into_iter().chain(skill_files()) {
        let PackageError { code: got, message } = read(&package).expect_err(what);
        let is_shown = !message.contains('\u{7}') && message.len() < 500;
        if got != code || !message.contains(says) || !is_shown {
            wrong.push(format!("{what}: {got}, not {code} with {says:?}: {message}"));
        }
        reached.insert(code);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let all: BTreeSet<_> = PackageError::CODES.iter().copied().collect();
    assert_eq!(reached, all);
    assert!(all.iter().all(|code| code.starts_with("Package.")));
}
