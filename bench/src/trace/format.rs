//! The file of a trace: a line that says what it is, then events, compressed as a whole (gzip).
//!
//! An event is the microseconds since the last one, the number of a session, a letter, and for a request its length
//! and its bytes. Numbers are written in groups of seven bits, the lowest first, as in LEB128.

use std::fs::File;
use std::io::{self, Read as _, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

const MAGIC: &[u8] = b"pgkeel trace 1\n";

/// Uncompressed bytes of a trace at most, so that a wrong file does not fill the memory.
const BYTES_MAX: u64 = 1 << 30;

/// Something a client did.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Event {
    /// Since the trace began.
    pub at: Duration,
    /// Which client.
    pub session: u32,
    /// What it did.
    pub what: What,
}

/// What a client did.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum What {
    /// It has left.
    Closed,
    /// It has logged in.
    Opened,
    /// It sent messages, up to one that the server has to answer.
    Request(Vec<u8>),
}

/// Writes a trace.
pub struct Writer<W: Write> {
    out: GzEncoder<W>,
    last: Duration,
}

impl Writer<File> {
    /// Creates a file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn create(path: &Path) -> anyhow::Result<Self> {
        let file =
            File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self::new(file)?)
    }
}

impl<W: Write> Writer<W> {
    /// Begins a trace.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn new(out: W) -> io::Result<Self> {
        let mut out = GzEncoder::new(out, Compression::best());
        out.write_all(MAGIC)?;
        Ok(Self {
            out,
            last: Duration::ZERO,
        })
    }

    /// Adds an event; events come in the order of time.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&mut self, event: &Event) -> io::Result<()> {
        // To whole microseconds, so that what is lost to rounding does not add up.
        let (now, last) = (event.at.as_micros() as u64, self.last.as_micros() as u64);
        let mut head = Vec::with_capacity(16);
        push(&mut head, now.saturating_sub(last));
        push(&mut head, event.session.into());
        self.last = self.last.max(event.at);
        match &event.what {
            What::Closed => head.push(b'C'),
            What::Opened => head.push(b'O'),
            What::Request(bytes) => {
                head.push(b'R');
                push(&mut head, bytes.len() as u64);
                head.extend_from_slice(bytes);
            }
        }
        self.out.write_all(&head)
    }

    /// Ends the trace.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(self) -> io::Result<W> {
        self.out.finish()
    }
}

fn push(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// A whole trace.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Recorded {
    /// In the order of time.
    pub events: Vec<Event>,
}

impl Recorded {
    /// Reads a file.
    ///
    /// # Errors
    /// When it is no trace, or not all of one.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::decode(file).with_context(|| format!("{} is no trace", path.display()))
    }

    /// From the bytes of a file.
    ///
    /// # Errors
    /// As [`Recorded::read`].
    pub fn decode(file: impl io::Read) -> anyhow::Result<Self> {
        let mut bytes = Vec::new();
        GzDecoder::new(file)
            .take(BYTES_MAX)
            .read_to_end(&mut bytes)?;
        ensure!((bytes.len() as u64) < BYTES_MAX, "it is too long");
        let mut rest = bytes
            .strip_prefix(MAGIC)
            .context("it does not begin like one")?;
        let (mut events, mut micros) = (Vec::new(), 0_u64);
        while !rest.is_empty() {
            micros = micros.saturating_add(pull(&mut rest)?);
            let session = u32::try_from(pull(&mut rest)?).context("no such session")?;
            let (kind, after) = rest.split_first().context("it is cut off")?;
            rest = after;
            let what = match kind {
                b'C' => What::Closed,
                b'O' => What::Opened,
                b'R' => {
                    let length = usize::try_from(pull(&mut rest)?)?;
                    ensure!(length <= rest.len(), "it is cut off");
                    let (request, after) = rest.split_at(length);
                    rest = after;
                    What::Request(request.to_vec())
                }
                other => bail!("it has an event {other:#x}"),
            };
            events.push(Event {
                at: Duration::from_micros(micros),
                session,
                what,
            });
        }
        Ok(Self { events })
    }

    /// When the last event is.
    #[must_use]
    pub fn duration(&self) -> Duration {
        self.events.last().map_or(Duration::ZERO, |event| event.at)
    }

    /// How many requests there are.
    #[must_use]
    pub fn requests(&self) -> usize {
        let is_request = |event: &&Event| matches!(event.what, What::Request(_));
        self.events.iter().filter(is_request).count()
    }
}

fn pull(rest: &mut &[u8]) -> anyhow::Result<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first().context("it is cut off")?;
        *rest = after;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    bail!("it has a number that is too long")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Recorded {
        let event = |micros, session, what| Event {
            at: Duration::from_micros(micros),
            session,
            what,
        };
        Recorded {
            events: vec![
                event(0, 0, What::Opened),
                event(127, 300, What::Opened),
                event(128, 0, What::Request(b"Q\0\0\0\x0dSELECT 1\0".to_vec())),
                event(86_400_000_000, 300, What::Request(vec![7; 100_000])),
                event(86_400_000_000, 0, What::Closed),
            ],
        }
    }

    fn encode(recorded: &Recorded) -> Vec<u8> {
        let mut writer = Writer::new(Vec::new()).unwrap();
        for event in &recorded.events {
            writer.write(event).unwrap();
        }
        writer.finish().unwrap()
    }

    #[test]
    fn a_trace_comes_back_as_it_was() {
        let sample = sample();
        assert_eq!(
            Recorded::decode(encode(&sample).as_slice()).unwrap(),
            sample
        );
        assert_eq!(sample.requests(), 2);
        assert_eq!(sample.duration(), Duration::from_secs(86_400));
    }

    #[test]
    fn time_that_is_finer_than_a_microsecond_does_not_drift() {
        let event = |nanos| Event {
            at: Duration::from_nanos(nanos),
            session: 0,
            what: What::Opened,
        };
        let events = (0..=1_000).map(|number| event(number * 1_999)).collect();
        let read = Recorded::decode(encode(&Recorded { events }).as_slice()).unwrap();
        assert_eq!(read.duration(), Duration::from_micros(1_999));
    }

    #[test]
    fn what_is_cut_off_or_no_trace_is_refused() {
        let bytes = encode(&sample());
        assert!(Recorded::decode(&bytes[..bytes.len() / 2]).is_err());
        assert!(Recorded::decode(&b"SELECT 1"[..]).is_err());
        let mut other = GzEncoder::new(Vec::new(), Compression::fast());
        other.write_all(b"pgkeel trace 1\n\x01\x01X").unwrap();
        let error = Recorded::decode(other.finish().unwrap().as_slice()).unwrap_err();
        assert!(error.to_string().contains("event 0x58"), "{error}");
    }
}
