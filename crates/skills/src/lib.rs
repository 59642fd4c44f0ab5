//! Skill packages: what strangers wrote, read within limits, and what can be said about it before an agent runs it.
//!
//! [`package::read`] turns an uploaded archive into files in memory and its front matter; [`scan::Scanner`] reads
//! every file and says what it found and what it could not read; [`analyse`] is what other analysers are asked and
//! what their answers mean; [`verdict`] is what follows of it all; [`bundle`] is how one Creel gives a skill to another. Nothing here does I/O: a package is never unpacked
//! to a disk, so there is nothing that a path in it could reach.

pub mod analyse;
pub mod bundle;
pub mod package;
pub mod report;
pub mod scan;
mod shown;
pub mod verdict;
