//! Packages made here, good and evil.

mod accepted;
mod codes;
mod front_matter;
mod hostile;

use std::io::{Cursor, Write};

use creel_wire::skill_content::Files;
use flate2::Compression;
use flate2::write::GzEncoder;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

pub(super) const SKILL: &str =
    "---\nname: pdf-forms\ndescription: Fills in forms.\nversion: 1.0\n---\n# PDF forms\n";

pub(super) fn files(pairs: &[(&str, &[u8])]) -> Files {
    pairs.iter().map(|(path, bytes)| ((*path).to_owned(), bytes.to_vec())).collect()
}

pub(super) fn zipped(pairs: &[(&str, &[u8])]) -> Vec<u8> {
    zipped_with(pairs, SimpleFileOptions::default())
}

pub(super) fn zipped_with(pairs: &[(&str, &[u8])], options: SimpleFileOptions) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (path, bytes) in pairs {
        match path.strip_suffix('/') {
            Some(folder) => writer.add_directory(folder, options).unwrap(),
            None => {
                writer.start_file(*path, options).unwrap();
                writer.write_all(bytes).unwrap();
            }
        }
    }
    writer.finish().unwrap().into_inner()
}

/// A tar whose names are written as they are, however evil.
pub(super) fn tarred(entries: &[(tar::EntryType, &[u8], &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (kind, name, bytes) in entries {
        let mut header = tar::Header::new_gnu();
        header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name);
        header.set_entry_type(*kind);
        if *kind == tar::EntryType::GNUSparse {
            header.as_gnu_mut().unwrap().set_real_size(0);
        }
        header.set_mode(0o644);
        header.set_size(bytes.len() as u64);
        header.set_cksum();
        out.extend_from_slice(header.as_bytes());
        out.extend_from_slice(bytes);
        out.resize(out.len().next_multiple_of(512), 0);
    }
    out.resize(out.len() + 1024, 0);
    out
}

pub(super) fn tar_of(pairs: &[(&str, &[u8])]) -> Vec<u8> {
    let entries: Vec<_> =
        pairs.iter().map(|(path, bytes)| (tar::EntryType::Regular, path.as_bytes(), *bytes)).collect();
    tarred(&entries)
}

pub(super) fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Puts other bytes of the same length in place of all that are `from`.
pub(super) fn patched(mut bytes: Vec<u8>, from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let places: Vec<_> = memchr::memmem::find_iter(&bytes, from).collect();
    assert!(!places.is_empty(), "nothing to patch");
    for at in places {
        bytes[at..at + to.len()].copy_from_slice(to);
    }
    bytes
}
