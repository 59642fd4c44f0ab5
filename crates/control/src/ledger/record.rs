//! What the journal holds: a record for each reservation, settlement and release, framed so that its end can be told from
//! what a file held before, and what the machine's own end may cost from damage.
//!
//! A frame, all little-endian, is the magic number (4 bytes), the CRC-32 of what follows it (4), the number of the segment
//! it was written for (8), how many bytes of that were synchronised by then (4), the payload's length (4), and the payload:
//! one record as MessagePack, in which structures are their fields in order: a new field goes to the end, with a default.
//! Frames of before are read, too: magic number, length and CRC-32 of the payload, which is MessagePack or JSON. A journal
//! in a table has JSON.
//!
//! A segment's file may have been another one's before, so behind its last frame stand those of that, with another number.
//! What was not synchronised may reach the disk in any order, so an unreadable frame is the end, unless one behind it tells
//! that it was on the disk: then the file is damaged.

use std::sync::Arc;

use creel_wire::id::{CallId, CreditPackId, ResourceGroupId};
use creel_wire::price::Usage;
use serde::{Deserialize, Serialize};

use super::{CallStart, Label};

const MAGIC: [u8; 4] = *b"CRL3";
/// Until 2026-11-27, without and with JSON.
const MAGIC_PLAIN: [u8; 4] = *b"CRL2";
const MAGIC_JSON: [u8; 4] = *b"CRL1";
const HEADER_BYTES: usize = 24;
/// Where what the CRC is of begins.
const SUMMED_FROM: usize = 8;
/// Longest payload; far above what a record of a call with a thousand packs needs.
const PAYLOAD_BYTES_MAX: usize = 1 << 20;

/// What a reservation holds, and until when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reserve {
    pub(crate) start: CallStart,
    /// The replica whose gateway has the call under way; empty where only one process can.
    #[serde(default)]
    pub(crate) holder: String,
    /// The month whose quota it counts in.
    pub(crate) month: i64,
    /// The resource group whose quota it counts in besides.
    #[serde(default)]
    pub(crate) group: Option<ResourceGroupId>,
    /// It is paid from packs, besides counting against the quota.
    pub(crate) uses_packs: bool,
    /// What packs do not pay is entered without one: a used up pack's strategy is Postpaid.
    #[serde(default)]
    pub(crate) postpaid: bool,
    /// Micro-credits held of each pack, in the order in which they are spent.
    pub(crate) packs: Vec<(CreditPackId, i64)>,
    /// Micro-credits held in all.
    pub(crate) held: i64,
    pub(crate) at_ms: i64,
    pub(crate) deadline_ms: i64,
}

/// One entry to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Part {
    pub(crate) pack: Option<CreditPackId>,
    pub(crate) micros: i64,
    pub(crate) unbilled: i64,
    pub(crate) label: Label,
    #[serde(default)]
    pub(crate) postpaid: bool,
}

impl Part {
    /// What no pack pays.
    pub(crate) fn of(micros: i64, label: Label) -> Self {
        Self { pack: None, micros, unbilled: 0, label, postpaid: false }
    }
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Settle {
    pub(crate) call_id: CallId,
    pub(crate) usage: Usage,
    pub(crate) parts: Vec<Part>,
    pub(crate) at_ms: i64,
}

/// A line of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Record {
    #[serde(rename = "r")]
    Reserve(Arc<Reserve>),
    #[serde(rename = "s")]
    Settle(Arc<Settle>),
    #[serde(rename = "x")]
    Release(CallId),
}

impl Record {
    /// The call it is about.
    pub(crate) fn call_id(&self) -> &CallId {
        match self {
            Record::Reserve(reserve) => &reserve.start.call_id,
            Record::Settle(settle) => &settle.call_id,
            Record::Release(call_id) => call_id,
        }
    }
}

/// Where a frame is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// The segment's number.
    pub(crate) segment: u64,
    /// How many of its bytes are on the disk, whatever becomes of the machine.
    pub(crate) synced_bytes: u64,
}

/// Appends the frame of a record to `buffer`.
pub(crate) fn encode(record: &Record, place: Place, buffer: &mut Vec<u8>) -> std::io::Result<()> {
    let start = buffer.len();
    buffer.extend_from_slice(&[0; HEADER_BYTES]);
    if let Err(error) = rmp_serde::encode::write(buffer, record) {
        buffer.truncate(start);
        return Err(std::io::Error::other(error));
    }
    let short = |number: usize| u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes();
    let synced = u32::try_from(place.synced_bytes).unwrap_or(u32::MAX).to_le_bytes();
    let frame = buffer.get_mut(start..).unwrap_or_default();
    let length = short(frame.len().saturating_sub(HEADER_BYTES));
    let summed = place.segment.to_le_bytes().into_iter().chain(synced).chain(length);
    put(frame, SUMMED_FROM, summed);
    let crc = crc32fast::hash(frame.get(SUMMED_FROM..).unwrap_or_default());
    put(frame, 0, MAGIC.into_iter().chain(crc.to_le_bytes()));
    Ok(())
}

fn put(frame: &mut [u8], at: usize, bytes: impl Iterator<Item = u8>) {
    frame.iter_mut().skip(at).zip(bytes).for_each(|(to, from)| *to = from);
}

/// What was read of a journal's file.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    pub(crate) records: Vec<Record>,
    /// Where the sound records end.
    pub(crate) sound_bytes: usize,
    /// Behind them is what the end of a process or of the machine has left of others.
    pub(crate) is_cut: bool,
}

/// A frame that was on the disk cannot be read: the file is damaged, not cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Damaged {
    pub(crate) at_byte: usize,
}

/// A frame that is whole and sound.
struct Frame {
    record: Record,
    /// Its own.
    bytes: usize,
    /// How many before it were synchronised when it was written.
    synced_bytes: usize,
}

/// Reads the frames of a segment. An unreadable end is tolerated, an unreadable middle is not.
pub(crate) fn scan(bytes: &[u8], segment: u64) -> Result<Scan, Damaged> {
    let mut scan = Scan::default();
    while let Some(frame) = frame(bytes.get(scan.sound_bytes..).unwrap_or_default(), segment) {
        scan.records.push(frame.record);
        scan.sound_bytes += frame.bytes;
    }
    let rest = bytes.get(scan.sound_bytes..).unwrap_or_default();
    scan.is_cut = is_begun(rest, segment);
    for at in memchr::memmem::find_iter(rest, b"CRL") {
        if let Some(behind) = frame(rest.get(at..).unwrap_or_default(), segment) {
            scan.is_cut = true;
            if behind.synced_bytes > scan.sound_bytes {
                return Err(Damaged { at_byte: scan.sound_bytes });
            }
        }
    }
    Ok(scan)
}

/// These bytes began as a frame of the segment.
fn is_begun(bytes: &[u8], segment: u64) -> bool {
    match bytes.first_chunk() {
        Some(&MAGIC) => bytes.get(SUMMED_FROM..SUMMED_FROM + 8) == Some(&segment.to_le_bytes()),
        Some(magic) => [MAGIC_PLAIN, MAGIC_JSON].contains(magic),
        None => !bytes.is_empty(),
    }
}

/// The first frame, if it is whole and sound.
fn frame(bytes: &[u8], segment: u64) -> Option<Frame> {
    let magic: [u8; 4] = *bytes.first_chunk()?;
    let number = |at: usize| bytes.get(at..)?.first_chunk().copied().map(u32::from_le_bytes);
    let size = |at: usize| usize::try_from(number(at)?).ok().filter(|size| *size <= PAYLOAD_BYTES_MAX);
    if magic == MAGIC {
        if bytes.get(SUMMED_FROM..SUMMED_FROM + 8)? != segment.to_le_bytes() {
            return None;
        }
        let whole = bytes.get(..HEADER_BYTES + size(20)?)?;
        if crc32fast::hash(whole.get(SUMMED_FROM..)?) != number(4)? {
            return None;
        }
        let record = message(whole.get(HEADER_BYTES..)?)?;
        let synced_bytes = usize::try_from(number(16)?).ok()?;
        return Some(Frame { record, bytes: whole.len(), synced_bytes });
    }
    let whole = bytes.get(..12 + size(4)?)?;
    let payload = whole.get(12..)?;
    if crc32fast::hash(payload) != number(8)? {
        return None;
    }
    let record = match magic {
        MAGIC_PLAIN => message(payload)?,
        MAGIC_JSON => serde_json::from_slice(payload).ok()?,
        _ => return None,
    };
    // They were written one behind the other to a file of their own.
    Some(Frame { record, bytes: whole.len(), synced_bytes: usize::MAX })
}

/// The one record of a payload.
fn message(payload: &[u8]) -> Option<Record> {
    let mut from = payload;
    let record = Record::deserialize(&mut rmp_serde::Deserializer::new(&mut from)).ok()?;
    from.is_empty().then_some(record)
}

/// What holds of any bytes as a journal: what is sound reads the same again, and is written as it was read.
#[cfg(any(test, fuzzing))]
#[expect(clippy::expect_used, reason = "a test stops at what is wrong")]
#[cfg_attr(test, expect(unreachable_pub, reason = "public for the fuzz target alone"))]
pub fn assert_journal_scans(bytes: &[u8]) {
    let place = Place { segment: 1, synced_bytes: 0 };
    let Ok(found) = scan(bytes, place.segment) else { return };
    let sound = bytes.get(..found.sound_bytes).expect("sound bytes lie within");
    let again = scan(sound, place.segment).expect("what is sound is not damaged");
    assert_eq!((&again.records, again.sound_bytes), (&found.records, sound.len()));
    let mut written = Vec::new();
    for record in &found.records {
        encode(record, place, &mut written).expect("what was read can be written");
    }
    assert_eq!(scan(&written, place.segment).expect("and is sound").records, found.records);
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEGMENT: u64 = 1;

    fn release(number: usize) -> Record {
        Record::Release(CallId::parse(&format!("call-{number}")).unwrap())
    }

    /// The frames of a segment, each written once those before it were synchronised, and where each ends.
    fn journal(segment: u64, records: usize) -> (Vec<u8>, Vec<usize>) {
        let (mut bytes, mut ends) = (Vec::new(), vec![0]);
        for number in 0..records {
            let synced_bytes = u64::try_from(bytes.len()).unwrap();
            encode(&release(number), Place { segment, synced_bytes }, &mut bytes).unwrap();
            ends.push(bytes.len());
        }
        (bytes, ends)
    }

    fn encoded(records: &[Record], place: Place) -> Vec<u8> {
        let mut bytes = Vec::new();
        records.iter().for_each(|record| encode(record, place, &mut bytes).unwrap());
        bytes
    }

    /// A frame of before with this payload.
    fn framed(magic: [u8; 4], payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap();
        [&magic, &length.to_le_bytes(), &crc32fast::hash(payload).to_le_bytes(), payload].concat()
    }

    #[test]
    fn frames_of_before_are_read_beside_new_ones() {
        // As they were written until 2026-11-27.
        let reserve = r#"{"r":{"start":{"call_id":"call-1","account_id":"11","runtime_id":"ecd-1","provider_id":"mpt-1",
            "provider_name":"p","model_code":"m","card":{"input":1,"cached_input":2,"cache_write":3,"output":1000,
            "multiplier_micros":1000000},"billed":true,"bound":{"input":4,"cached_input":5,"cache_write":6,"output":7,
            "reasoning":8}},"month":9,"group":null,"uses_packs":true,"postpaid":false,"packs":[["crp-1",7]],"held":7,
            "at_ms":1,"deadline_ms":2}}"#;
        let settle = r#"{"s":{"call_id":"call-1","usage":{"input":11,"cached_input":12,"cache_write":13,"output":14,
            "reasoning":15},"parts":[{"pack":"crp-1","micros":5,"unbilled":16,"label":"exact","postpaid":false}],"at_ms":3}}"#;
        let mut bytes: Vec<u8> =
            [reserve, settle].iter().flat_map(|json| framed(MAGIC_JSON, json.as_bytes())).collect();
        let place = Place { segment: SEGMENT, synced_bytes: 258 };
        let new = encoded(&[release(2)], place);
        bytes.extend(framed(MAGIC_PLAIN, &new[HEADER_BYTES..]));
        bytes.extend(&new);
        let found = scan(&bytes, SEGMENT).unwrap();
        assert_eq!(found.sound_bytes, bytes.len());
        let [Record::Reserve(reserve), Record::Settle(settle), Record::Release(released), last] =
            &found.records[..]
        else {
            panic!("{:?}", found.records)
        };
        assert_eq!((reserve.held, reserve.packs[0].1, reserve.start.bound.output), (7, 7, 7));
        assert_eq!((&settle.call_id, settle.parts[0].micros), (&reserve.start.call_id, 5));
        assert_eq!((released.as_str(), last), ("call-2", &release(2)));
        // Written anew, as calls under way are into the next segment, they are the same.
        let again = encoded(&found.records[..3], place);
        assert_eq!(scan(&again, SEGMENT).unwrap().records, found.records[..3]);
        // A field that moved would be read as another one by the next version.
        assert_eq!(
            hex::encode(&again),
            "43524c33943de6910100000000000000020100004400000081a1729a9aa663616c6c2d31a23131a56563642d31\
            a56d70742d31a170a16d95010203cd03e8ce000f4240c395040506070890a009c0c3c29192a56372702d310707\
            010243524c3338da2d6f0100000000000000020100002300000081a17394a663616c6c2d31950b0c0d0e0f9195\
            a56372702d310510a56578616374c20343524c3386a8904b0100000000000000020100000a00000081a178a663\
            616c6c2d32"
        );
        // Damage among them is damage: they were never written anywhere else.
        let mut damaged = bytes.clone();
        damaged[20] ^= 1;
        assert_eq!(scan(&damaged, SEGMENT).unwrap_err(), Damaged { at_byte: 0 });
        // A frame is one record, and of a kind that is known.
        let payload = &new[HEADER_BYTES..];
        assert_eq!(scan(&framed(MAGIC_PLAIN, payload), SEGMENT).unwrap().records, [release(2)]);
        let longer = [payload, b"\0"].concat();
        assert_eq!(scan(&framed(MAGIC_PLAIN, &longer), SEGMENT).unwrap().sound_bytes, 0);
        assert_eq!(scan(&framed(*b"CRL4", payload), SEGMENT).unwrap().sound_bytes, 0);
    }

    #[test]
    fn a_file_cut_at_any_byte_gives_its_whole_records() {
        let (bytes, ends) = journal(SEGMENT, 8);
        for cut in 0..=bytes.len() {
            let scan = scan(&bytes[..cut], SEGMENT).unwrap();
            let whole = ends.iter().filter(|end| **end <= cut).count() - 1;
            assert_eq!((scan.records.len(), scan.sound_bytes), (whole, ends[whole]), "cut at {cut}");
            // With less than its segment's number nothing tells a frame from what the file held before.
            assert_eq!(scan.is_cut, !matches!(cut - ends[whole], 0 | 4..16), "cut at {cut}");
        }
    }

    #[test]
    fn a_changed_byte_is_damage_unless_it_is_in_the_last_record() {
        let (bytes, ends) = journal(SEGMENT, 4);
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 0x20;
            let expect = ends.iter().rposition(|end| *end <= at).unwrap();
            match scan(&changed, SEGMENT) {
                Ok(scan) => assert!(expect == 3 && scan.records.len() == 3, "byte {at}"),
                Err(damaged) => assert_eq!(damaged.at_byte, ends[expect], "byte {at}"),
            }
        }
    }

    #[test]
    fn what_was_not_synchronised_may_be_missing_anywhere() {
        // Three of six were on the disk as the last three were written.
        let first =
            encoded(&[release(0), release(1), release(2)], Place { segment: SEGMENT, synced_bytes: 0 });
        let place = Place { segment: SEGMENT, synced_bytes: u64::try_from(first.len()).unwrap() };
        let bytes = [first.clone(), encoded(&[release(3), release(4), release(5)], place)].concat();
        let each = bytes.len() / 6;
        for lost in 0..6 {
            let mut left = bytes.clone();
            left[lost * each..(lost + 1) * each].fill(0);
            match scan(&left, SEGMENT) {
                Ok(found) => {
                    assert!(lost >= 3 && found.sound_bytes == lost * each, "{lost}");
                    // It is seen that something is missing, if there is anything behind it.
                    assert_eq!(found.is_cut, lost < 5, "{lost}");
                }
                Err(damaged) => assert!(lost < 3 && damaged.at_byte == lost * each, "{lost}"),
            }
        }
    }

    #[test]
    fn what_a_file_held_before_is_not_read() {
        let place = Place { segment: SEGMENT, synced_bytes: 1 << 20 };
        let old = encoded(&[9, 8, 7, 6, 5, 4].map(release), place);
        let (new, _) = journal(SEGMENT + 1, 3);
        for cut in 0..=new.len() {
            let file = [&new[..cut], &old[cut..]].concat();
            let found = scan(&file, SEGMENT + 1).unwrap();
            assert_eq!(found.sound_bytes, cut / (new.len() / 3) * (new.len() / 3), "cut at {cut}");
            assert_eq!(found.records.len(), cut / (new.len() / 3), "cut at {cut}");
        }
        let file = [&new[..], &old[new.len()..]].concat();
        assert!(!scan(&file, SEGMENT + 1).unwrap().is_cut);
    }

    #[test]
    fn mutated_journals_read_as_what_is_sound_in_them() {
        let (bytes, _) = journal(SEGMENT, 6);
        let mut state = 0x9E37_79B9_7F4A_7C15u64;
        let mut next = |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state % u64::try_from(below).unwrap()).unwrap()
        };
        for _ in 0..5_000 {
            let mut mutated = bytes.clone();
            for _ in 0..=next(3) {
                let at = next(mutated.len().max(1)).min(mutated.len());
                match next(4) {
                    _ if mutated.is_empty() => break,
                    0 => mutated[at] = u8::try_from(next(256)).unwrap(),
                    1 => drop(mutated.drain(at..(at + next(40)).min(bytes.len()).min(mutated.len()).max(at))),
                    2 => mutated.extend_from_within(at..),
                    _ => mutated.truncate(at.max(1)),
                }
            }
            assert_journal_scans(&mutated);
        }
    }

    #[test]
    fn zeros_behind_the_end_are_the_end() {
        let (mut bytes, ends) = journal(SEGMENT, 2);
        bytes.extend([0; 4096]);
        let scan = scan(&bytes, SEGMENT).unwrap();
        assert_eq!((scan.records.len(), scan.sound_bytes, scan.is_cut), (2, ends[2], false));
    }
}
