//! The pool file, byte by byte. `FORMAT.md` holds the same tables in words; a test compares the two.

pub(crate) mod frame;
pub(crate) mod geometry;
pub(crate) mod header;

#[cfg(test)]
mod tests {
    use super::header::FIELDS;
    use crate::format::frame::{self, FrameHeader};
    use crate::sys;
    use crate::types::{Seq, Timestamp};

    const FORMAT: &str = include_str!("../../FORMAT.md");

    /// The rows of the table whose header line starts so, cell by cell.
    fn table(first_line: &str) -> Vec<Vec<&'static str>> {
        FORMAT
            .lines()
            .skip_while(|line| !line.starts_with(first_line))
            .skip(2)
            .take_while(|line| line.starts_with('|'))
            .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
            .collect()
    }

    #[test]
    fn the_header_table_is_what_the_code_does() {
        let rows = table("| offset | bytes | field |");
        let written: Vec<(String, u64, u64)> = rows
            .iter()
            .map(|r| (format!("{}_AT", r[2]), r[0].parse().unwrap(), r[1].parse().unwrap()))
            .collect();
        let coded: Vec<(String, u64, u64)> =
            FIELDS.iter().map(|(name, at, bytes)| ((*name).to_owned(), *at, *bytes)).collect();
        assert_eq!(written, coded);
        for pair in coded.windows(2) {
            assert!(pair[0].1 + pair[0].2 <= pair[1].1, "{pair:?} overlap");
        }
    }

    #[test]
    fn the_frame_table_is_what_the_code_does() {
        // Each field gets a value that no other has; then it must lie where the table says.
        let mut header = FrameHeader {
            crc: 0,
            link: 0x2222_2223,
            seq: Seq::new(0x0033_3333_3333_3334),
            time: Timestamp::from_nanos(0x4444_4444_4444_4445),
            log_before: 0x5555_5555_5556,
            tags_len: 0x6667,
            payload_len: 0x7777_7778,
        };
        let (words, crc, used) = frame::begin(&header, b"abcd", 0x1111_1112);
        header.crc = crc;
        assert_eq!(used, 5);
        let bytes = sys::bytes_of(&words[..used]);
        // The checksum's own rule: the payload's stands in its place.
        let mut summed = bytes[..frame::HEADER_BYTES as usize].to_vec();
        summed[..4].copy_from_slice(&0x1111_1112_u32.to_le_bytes());
        assert_eq!(crc, frame::crc32c(&summed));
        let rows = table("| offset | bytes | frame field |");
        assert_eq!(rows.len(), 8);
        for row in &rows {
            let at: usize = row[0].parse().unwrap();
            if row[2] == "payload" {
                assert_eq!((at, &bytes[at..]), (frame::HEADER_BYTES as usize, &b"abcd"[..]));
                continue;
            }
            let len: usize = row[1].parse().unwrap();
            let mut value = [0; 8];
            value[..len].copy_from_slice(&bytes[at..at + len]);
            let expected = match row[2] {
                "crc" => header.crc.into(),
                "link" => header.link.into(),
                "seq" => header.seq.get(),
                "time" => header.time.as_nanos(),
                "log_before" => header.log_before,
                "tags_len" => header.tags_len.into(),
                "payload_len" => header.payload_len.into(),
                other => panic!("the table names a field {other}"),
            };
            assert_eq!(u64::from_le_bytes(value), expected, "{}", row[2]);
        }
        assert_eq!(frame::decode(words.first_chunk().unwrap()), Some(header));
    }
}
