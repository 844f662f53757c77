//! Messages as every surface gives them: one JSON line, byte for byte the same on each.

use serde::Deserialize;
use serde_json::value::RawValue;

/// A message taken out of its envelope.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) seq: u64,
    pub(crate) time: String,
    pub(crate) tags: Vec<String>,
    /// The data as it was served.
    pub(crate) text: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope<'a> {
    seq: u64,
    time: String,
    meta: Meta,
    #[serde(borrow)]
    data: &'a RawValue,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Meta {
    tags: Vec<String>,
}

impl Message {
    /// Takes an envelope apart. Anything but `{"seq":…,"time":…,"meta":{"tags":[…]},"data":…}`, in this order and without whitespace, is an error.
    pub(crate) fn parse(line: &[u8]) -> Result<Self, String> {
        let shown = || String::from_utf8_lossy(line.get(..200).unwrap_or(line)).into_owned();
        let envelope: Envelope<'_> =
            serde_json::from_slice(line).map_err(|e| format!("no envelope ({e}): {}", shown()))?;
        let Envelope { seq, time, meta, data } = envelope;
        let tags = serde_json::Value::from(meta.tags.as_slice());
        let rebuilt = format!(
            "{{\"seq\":{seq},\"time\":\"{time}\",\"meta\":{{\"tags\":{tags}}},\"data\":{}}}",
            data.get()
        );
        if rebuilt.as_bytes() != line {
            return Err(format!("the envelope is not compact and in order: {}", shown()));
        }
        if !is_time(&time) {
            return Err(format!("time={time:?} is not RFC 3339 in UTC with nine digits"));
        }
        Ok(Self { seq, time, tags: meta.tags, text: data.get().to_owned() })
    }
}

fn is_time(time: &str) -> bool {
    let shape = b"0000-00-00T00:00:00.000000000Z";
    let fits = |(byte, &shape): (u8, &u8)| match shape {
        b'0' => byte.is_ascii_digit(),
        _ => byte == shape,
    };
    time.len() == shape.len() && time.bytes().zip(shape).all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: &str = "2026-01-02T03:04:05.000000006Z";

    #[test]
    fn an_envelope_has_one_form() {
        let line = format!(
            "{{\"seq\":1,\"time\":\"{TIME}\",\"meta\":{{\"tags\":[\"a\"]}},\"data\":{{\"n\":1.0}}}}"
        );
        let message = Message::parse(line.as_bytes()).unwrap();
        assert_eq!((message.seq, message.text.as_str()), (1, "{\"n\":1.0}"));
        for bad in [
            line.replace("{\"n\"", "{ \"n\"").replace("\"seq\":1", "\"seq\": 1"),
            line.replace("\"seq\":1,", "").replace("}}", "},\"seq\":1}"),
            line.replace('Z', "+00:00"),
            line.replace(".000000006", ""),
            format!("{line}\n"),
        ] {
            assert!(Message::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
