//! Ten thousand packages near real and evil ones: no panic, nothing beyond the limits, every accepted path safe.

use creel_wire::skill_content::{CONTENT_BYTES_MAX, FILES_MAX, content_hash, is_safe_path, is_skill_name};
use zip::write::SimpleFileOptions;

use super::*;
use crate::package::{Limits, PackageError, is_archive, members, pack, read, unpack};

const ROUNDS: usize = 10_000;

/// Numbers that are the same in each run.
struct Rng(u64);

impl Rng {
    fn below(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap() % below.max(1)
    }

    fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

const NAMES: [&str; 22] = [
    "SKILL.md",
    "skill.md",
    "top/SKILL.md",
    "top/run.sh",
    "../x",
    "/etc/passwd",
    "C:\\x",
    "a\\..\\b",
    "a/./b",
    "a//b",
    "..",
    ".",
    "",
    "con",
    "nul.txt",
    "a\u{202e}b",
    "技能/说明.md",
    "cafe\u{301}",
    "caf\u{e9}",
    "a/b/c/d/e/f/g/h/i/j/k/l/m/n",
    "x ",
    "x.",
];
const TEXTS: [&str; 8] = [
    SKILL,
    "---\nname: a\ndescription: b\n---\n",
    "---\nname: A B\nslug: a-b\ndescription: \"x: y\"\n---\n",
    "---\nname: a\ndescription: &x [*x, *x]\n---\n",
    "---\n<<: {name: a}\n? [a]\n: b\ndescription: !!binary aGk=\n---\n",
    "---\nname: a\ndescription: b\nmetadata: {openclaw: {requires: {env: [1, null, A], bins: {a: b}}, primaryEnv: A}}\n---\n",
    "not a skill",
    "",
];

/// A package of evil names and texts, in any form.
fn made(rng: &mut Rng) -> Vec<u8> {
    let count = 1 + rng.below(5);
    let mut entries = vec![("SKILL.md", *rng.of(&TEXTS))];
    for _ in 0..count {
        entries.push((*rng.of(&NAMES), *rng.of(&TEXTS)));
    }
    if rng.below(3) == 0 {
        entries.remove(0);
    }
    if rng.below(2) == 0 {
        let kinds =
            [b'0', b'0', b'0', b'0', b'1', b'2', b'3', b'5', b'6', b'7', b'L', b'K', b'x', b'g', b'S', b'?'];
        let entries: Vec<_> = entries
            .iter()
            .map(|(name, text)| (tar::EntryType::new(*rng.of(&kinds)), name.as_bytes(), text.as_bytes()))
            .collect();
        let tar = tarred(&entries);
        return if rng.below(2) == 0 { gzipped(&tar) } else { tar };
    }
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, text) in entries {
        let options = SimpleFileOptions::default().large_file(rng.below(4) == 0).unix_permissions(0o755);
        if writer.start_file(name, options).is_ok() {
            writer.write_all(text.as_bytes()).unwrap();
        }
    }
    writer.finish().unwrap().into_inner()
}

/// Changes a few places: single bytes, numbers of headers, pieces left out, doubled or cut off.
fn mutate(rng: &mut Rng, mut data: Vec<u8>) -> Vec<u8> {
    for _ in 0..rng.below(6) {
        if data.is_empty() {
            break;
        }
        let at = rng.below(data.len());
        let end = (at + rng.below(40)).min(data.len());
        match rng.below(7) {
            0 => data[at] = u8::try_from(rng.below(256)).unwrap(),
            1 => data[at] ^= 1 << rng.below(8),
            2 => drop(data.drain(at..end)),
            3 => data.extend_from_within(at..end),
            4 => data.truncate(end),
            5 => data[at..end].fill(*rng.of(&[0, 0xFF, b'/', b'.', b'7'])),
            _ => {
                let piece = data[at..end].to_vec();
                let to = rng.below(data.len());
                data.splice(to..to, piece);
            }
        }
    }
    data
}

fn check(bytes: &[u8]) -> Result<(), PackageError> {
    let inside = members(bytes, &Limits { files: 50, bytes: 1 << 20, file_bytes: 1 << 19 });
    if let Ok(files) = inside {
        assert!(is_archive(bytes) && files.len() <= 50);
        assert!(files.values().map(Vec::len).sum::<usize>() <= 1 << 20);
        assert!(files.keys().flat_map(|path| path.split('/')).all(is_safe_path));
    }
    let package = read(bytes)?;
    let total: u64 = package.files.values().map(|bytes| bytes.len() as u64).sum();
    assert!(total <= CONTENT_BYTES_MAX && package.files.len() <= FILES_MAX);
    assert!(package.files.keys().all(|path| is_safe_path(path)), "{:?}", package.files.keys());
    assert!(is_skill_name(&package.manifest.name));
    assert_eq!(package.content_hash, content_hash(&package.files));
    // what is accepted is kept, fetched and read as the same
    assert_eq!(unpack(&pack(&package.files)).unwrap(), package.files);
    let again = read(&pack(&package.files)).unwrap();
    assert_eq!((again.content_hash, again.files), (package.content_hash, package.files));
    Ok(())
}

#[test]
fn ten_thousand_hostile_packages_do_nothing_but_be_refused_or_read() {
    let mut rng = Rng(0x9E37_79B9_7F4A_7C15);
    let real = [
        zipped(&[("SKILL.md", SKILL.as_bytes()), ("scripts/run.sh", b"#!/bin/sh\n")]),
        gzipped(&tar_of(&[("top/SKILL.md", SKILL.as_bytes()), ("top/a.txt", b"a")])),
        tar_of(&[("SKILL.md", SKILL.as_bytes()), ("a.txt", b"a")]),
        SKILL.as_bytes().to_vec(),
    ];
    let (mut accepted, mut codes) = (0, std::collections::BTreeMap::<_, usize>::new());
    for round in 0..ROUNDS {
        let base = if rng.below(3) == 0 { rng.of(&real).clone() } else { made(&mut rng) };
        let bytes = mutate(&mut rng, base);
        match std::panic::catch_unwind(|| check(&bytes)) {
            Ok(Ok(())) => accepted += 1,
            Ok(Err(cause)) => *codes.entry(cause.code).or_default() += 1,
            Err(cause) => {
                eprintln!("round {round}: {}", bytes.escape_ascii());
                std::panic::resume_unwind(cause);
            }
        }
    }
    println!("{accepted} of {ROUNDS} accepted; refused: {codes:?}");
    // the loop is worth something only where it reaches what is behind the first check
    assert!((ROUNDS / 20..ROUNDS / 2).contains(&accepted), "{accepted}");
    assert!(codes.len() >= 12, "{codes:?}");
}
