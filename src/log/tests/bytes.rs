//! Records, headers and names as bytes; reading and cutting a log that is whole.

use proptest::prelude::*;

use super::*;
use crate::env::{Disk, Files};
use crate::limits;
use crate::log::record::{Flaw, decode, encode, find, seed};
use crate::log::segment::{HeaderFlaw, Part};

fn bytes_of(record: &Record<'_>, write_began: u64, seed: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(record, write_began, seed, &mut bytes);
    bytes
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

/// The format, for good: another release must read what this one writes. The checksums were computed
/// by another program.
#[test]
fn the_format_is_pinned() {
    let record = Record { number: 0x0102, kind: 7, payload: b"ab" };
    let bytes = bytes_of(&record, 0x0100, seed(LOG_ID, 1));
    assert_eq!(hex(&bytes), "02000000e4398cae020100000000000002000000076162");
    assert_eq!(
        hex(&Part::segment(0x0102).header(LOG_ID, 0)),
        "544150454c4f470a010000007766554433221100efcdab896745230102010000\
         00000000000000000000000000000000000000000000000000000000bc2901f6"
    );
}

proptest! {
    /// A record is read back as it was; with any bit changed, cut, or of another segment, it isn't.
    #[test]
    fn a_record_is_read_back_or_refused(
        number in 1..u64::MAX,
        kind: u8,
        payload in prop::collection::vec(any::<u8>(), 0..300),
        back in 0..50_u64,
        bit: prop::sample::Index,
        cut: prop::sample::Index,
        first in 1..u64::MAX,
    ) {
        let record = Record { number, kind, payload: &payload };
        let own = seed(LOG_ID, first);
        let mut bytes = bytes_of(&record, number.saturating_sub(back), own);
        {
            let (header, found) = decode(&bytes, own).unwrap();
            prop_assert_eq!(found, record);
            prop_assert_eq!(header.n_bytes(), bytes.len());
            prop_assert_eq!(header.write_began(), number.saturating_sub(back));
            prop_assert!(find(&bytes, own, number, |_| true).is_some());
            prop_assert!(find(&bytes, own, number + 1, |_| true).is_none());
        }
        for other in [seed(LOG_ID, first - 1), seed(LOG_ID ^ 1, first), 0] {
            prop_assert_eq!(decode(&bytes, other).unwrap_err(), Flaw::Checksum);
        }
        prop_assert!(decode(&bytes[..cut.index(bytes.len())], own).is_err());
        let bit = bit.index(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(decode(&bytes, own).is_err());
    }

    /// So is a header; and whatever stands there is refused without a panic.
    #[test]
    fn a_header_is_read_back_or_refused(
        first in 1..u64::MAX,
        bit in 0..512_usize,
        cut in 0..64_usize,
        noise in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        for part in [Part::segment(first), Part::gap(first)] {
            prop_assert_eq!(Part::parse(&part.name()), Some(part));
            let mut header = part.header(LOG_ID, first + 1);
            part.check(LOG_ID, &header).unwrap();
            let flaw = part.check(LOG_ID + 1, &header).unwrap_err();
            prop_assert_eq!(flaw, HeaderFlaw::Log { found: LOG_ID });
            let flaw = Part { first: first - 1, ..part }.check(LOG_ID, &header).unwrap_err();
            prop_assert_eq!(flaw, HeaderFlaw::First { found: first });
            let flaw = part.check(LOG_ID, &header[..cut]).unwrap_err();
            prop_assert_eq!(flaw, HeaderFlaw::Short { n_bytes: cut });
            header[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(part.check(LOG_ID, &header).unwrap_err(), HeaderFlaw::Broken);
            prop_assert!(part.check(LOG_ID, &noise).is_err());
        }
    }
}

#[test]
fn other_names_are_left_alone() {
    let mut files = std::collections::BTreeMap::new();
    for name in ["1.seg", "0000000000000000000a.seg", "+0000000000000000001.seg", "notes", ""] {
        assert_eq!(Part::parse(name), None, "{name}");
        files.insert(name.to_owned(), b"mine".to_vec());
    }
    // No number is as large.
    assert_eq!(Part::parse("99999999999999999999.seg"), None);
    let memory = Memory::of(&files);
    assert_eq!(recover(&memory, LOG_ID).unwrap().records, 1..1);
    assert_eq!(memory.files(), files);
}

#[test]
fn another_format_is_named() {
    let memory = filled(3, 1 << 20);
    let mut files = memory.files();
    let header = files.values_mut().next().unwrap();
    header[8] = 2;
    let crc = crc32c::crc32c(&header[..60]).to_le_bytes();
    header[60..64].copy_from_slice(&crc);
    let memory = Memory::of(&files);
    let told = recover(&memory, LOG_ID).unwrap_err().to_string();
    assert!(told.contains("version 2, this release reads 1"), "{told}");
    assert!(salvage(&memory, LOG_ID).is_err());
    assert_eq!(memory.files(), files);
}

/// A length is refused before memory is taken for it, and before it is written.
#[test]
fn lengths_are_limited() {
    let mut bytes = bytes_of(&Record { number: 1, kind: 0, payload: b"" }, 1, 0);
    bytes[..4].copy_from_slice(&u32::MAX.to_le_bytes());
    let n_payload = usize::try_from(u32::MAX).unwrap();
    assert_eq!(decode(&bytes, 0).unwrap_err(), Flaw::Long { n_payload });
    let (mut writer, mut committer, _) = open(&Memory::default(), 1 << 20).unwrap();
    let long = vec![0; limits::LOG_PAYLOAD_BYTES + 1];
    let error = writer.append(0, &long).unwrap_err();
    assert!(matches!(error, LogError::TooLong { .. }), "{error}");
    // The longest is fine, and the log goes on behind it.
    assert_eq!(writer.append(0, &long[1..]).unwrap(), 1);
    assert!(committer.commit(false));
    assert_eq!(writer.append(0, b"x").unwrap(), 2);
    assert!(committer.commit(false));
    writer.finish().unwrap();
}

/// Somebody sends what looks like records of ours, each in the one before, and the power fails.
#[test]
fn what_only_looks_like_records_is_not_checked_for_ever() {
    let name = Part::segment(1).name();
    let mut bytes = Part::segment(1).header(LOG_ID, 0).to_vec();
    let payload = vec![0; 1 << 19];
    let record = Record { number: 5, kind: 0, payload: &payload };
    let front = bytes_of(&record, 5, 0)[..21].to_vec();
    bytes.extend(front.repeat(50_000));
    let memory = Memory::of(&[(name, bytes)].into());
    let told = recover(&memory, LOG_ID).unwrap_err().to_string();
    assert!(told.contains("more than can be checked"), "{told}");
}

/// A log of so many records of 10 bytes.
pub(super) fn filled(n: u64, segment_bytes: u64) -> Memory {
    let memory = Memory::default();
    let (mut writer, mut committer, _) = open(&memory, segment_bytes).unwrap();
    for number in 1..=n {
        writer.append(1, format!("{number:010}").as_bytes()).unwrap();
        committer.commit(false);
    }
    memory
}

#[test]
fn a_log_is_read_from_any_record_on() {
    let memory = filled(40, 64 + 5 * 31);
    assert_eq!(memory.files().len(), 8);
    let all = read(&memory, 1..41).unwrap();
    assert_eq!(all[39].payload, b"0000000040");
    for start in 1..=40 {
        for end in start..=41 {
            let given = read(&memory, start..end).unwrap();
            assert_eq!(given, all[narrow(start - 1)..narrow(end - 1)]);
        }
    }
    let error = read(&memory, 39..43).unwrap_err();
    assert_eq!(error.to_string(), "reading record 41 of the log, which ends before record 41");
}

#[test]
fn what_is_cut_is_whole_segments_from_the_oldest_on() {
    let memory = filled(40, 64 + 5 * 31);
    for number in 0..=45 {
        cut_before(&memory, number).unwrap();
        let found = recover(&memory, LOG_ID).unwrap();
        let first = (number.clamp(1, 40) - 1) / 5 * 5 + 1;
        assert_eq!(found.records, first..41, "cut before {number}");
        assert_eq!(wide(read(&memory, first..41).unwrap().len()), 41 - first);
    }
    let error = read(&memory, 35..41).unwrap_err();
    assert_eq!(error.to_string(), "reading record 35 of the log, which begins with record 36");
    // Its numbers go on, though only an empty segment is left.
    let (mut writer, mut committer, _) = open(&memory, 64).unwrap();
    assert_eq!(writer.append(1, b"").unwrap(), 41);
    committer.commit(false);
}

#[test]
fn on_a_real_disk() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data/log");
    let write = |from: u64| {
        let files: Arc<dyn Files> = Arc::new(Disk::open(&path).unwrap());
        let found = recover(&*files, LOG_ID).unwrap();
        assert_eq!(found.records.end, from);
        let mut writer =
            Writer::start(Arc::clone(&files), LOG_ID, &found, options(64 + 5 * 31)).unwrap();
        for number in from..from + 12 {
            assert_eq!(writer.append(1, format!("{number:010}").as_bytes()).unwrap(), number);
        }
        writer.finish().unwrap();
        files
    };
    write(1);
    let files = write(13);
    let mut reader = Reader::open(Arc::clone(&files), LOG_ID, 1..25).unwrap();
    for number in 1..25 {
        assert_eq!(reader.next_record().unwrap().unwrap().number, number);
    }
    assert_eq!(reader.next_record().unwrap(), None);
    // A torn tail; then a byte of the second segment.
    let last = path.join("00000000000000000021.seg");
    let torn = std::fs::read(&last).unwrap();
    std::fs::write(&last, &torn[..torn.len() - 1]).unwrap();
    let found = recover(&*files, LOG_ID).unwrap();
    assert_eq!((found.records, found.torn.unwrap().n_bytes), (1..24, 30));
    let second = path.join("00000000000000000006.seg");
    let mut damaged = std::fs::read(&second).unwrap();
    damaged[64 + 31 + 25] ^= 1;
    std::fs::write(&second, &damaged).unwrap();
    let error = recover(&*files, LOG_ID).unwrap_err();
    let told = error.to_string();
    let place = "00000000000000000006.seg, byte 95, where record 7 should be: its checksum differs";
    assert!(told.ends_with(place), "{told}");
    assert!(error.hint().contains("--fresh"));
    assert!(Reader::open(Arc::clone(&files), LOG_ID, 7..9).unwrap().next_record().is_err());
    let saved = salvage(&*files, LOG_ID).unwrap();
    assert_eq!(saved.lost, vec![7..8]);
    assert_eq!(std::fs::read(&saved.copies[0]).unwrap(), damaged);
    assert_eq!(recover(&*files, LOG_ID).unwrap().gaps, vec![7..8]);
    cut_before(&*files, 20).unwrap();
    assert_eq!(recover(&*files, LOG_ID).unwrap().records, 16..24);
}
