//! The check of one object, in one pass over bytes that may arrive in pieces.

use std::borrow::Cow;
use std::str;

use super::escape;
use super::flaw::{Expected, Flaw, Reason};
use super::{MAX_DEPTH, space};
use crate::sys::marks::{BLOCK_BYTES, Marks};

/// What the text may go on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// After `{`.
    KeyOrEnd,
    /// After a comma in an object.
    Key,
    /// In a key, behind its opening quote.
    KeyText,
    /// After a key.
    Colon,
    /// After `[`.
    ValueOrEnd,
    /// After a colon, or a comma in an array.
    Value,
    /// In a string that is a value, behind its opening quote.
    ValueText,
    /// After a value.
    After,
    /// After a number's sign.
    Minus,
    /// After a number's first digit, which is 0.
    Zero,
    /// In the digits of a number's integer part.
    Integer,
    /// After the point.
    Point,
    /// In the digits of the fraction.
    Fraction,
    /// After the `e` of an exponent.
    Exponent,
    /// After its sign.
    ExponentSign,
    /// In its digits.
    ExponentDigits,
}

impl State {
    /// Whitespace may stand here.
    fn is_between_tokens(self) -> bool {
        matches!(
            self,
            Self::KeyOrEnd | Self::Key | Self::Colon | Self::ValueOrEnd | Self::Value | Self::After
        )
    }
}

/// Why a scan ended.
enum Stop {
    /// The object ends here.
    Whole,
    /// There are no more bytes, or too few for what begins here to be judged.
    Starved,
    /// The byte here makes it certain.
    Flawed(Flaw),
}

/// The check of one object, whose text begins with its opening brace.
///
/// The caller keeps the text and gives it again, longer, at each [`Check::advance`]. Each byte is looked at once, but for
/// those of an escape, a literal or a character that the end of a piece cuts: they are looked at again when it goes on.
pub(super) struct Check {
    state: State,
    depth: usize,
    /// The objects and arrays around this place, the innermost in the lowest bit. 1: an object.
    kinds: u128,
    /// Bytes that were looked at.
    at: usize,
    /// The text without whitespace between tokens, up to the last whitespace; empty when there was none.
    minified: Vec<u8>,
    /// Bytes of the text that `minified` covers.
    covered: usize,
    limit: u64,
    /// The first byte that exceeds the limit.
    excess: Option<usize>,
}

impl Check {
    /// The check of a text that may have `limit` bytes without the whitespace between its tokens.
    pub(super) fn new(limit: u64) -> Self {
        Self {
            state: State::KeyOrEnd,
            depth: 1,
            kinds: 1,
            at: 1,
            minified: Vec::new(),
            covered: 0,
            limit,
            excess: None,
        }
    }

    /// Makes it ready for another text; memory is used again.
    pub(super) fn reset(&mut self) {
        let mut minified = std::mem::take(&mut self.minified);
        minified.clear();
        *self = Self { minified, ..Self::new(self.limit) };
    }

    /// Looks at the bytes of `text` that were not there at the last call. `Some(end)`: its first `end` bytes are the whole
    /// object. None: it may become one.
    pub(super) fn advance(&mut self, text: &[u8]) -> Result<Option<usize>, Flaw> {
        let stop = self.scan(text);
        let size = self.count(match stop {
            Stop::Whole => self.at,
            Stop::Starved => text.len(),
            // A byte that the grammar does not allow belongs to no document.
            Stop::Flawed(Flaw { reason: Reason::Grammar(_), .. }) => self.at,
            Stop::Flawed(_) => self.at + 1,
        });
        if let Some(at) = self.excess {
            return Err(Flaw { at, reason: Reason::TooLarge { size, limit: self.limit } });
        }
        match stop {
            Stop::Whole => Ok(Some(self.at)),
            Stop::Starved => Ok(None),
            Stop::Flawed(flaw) => Err(flaw),
        }
    }

    /// The checked object, whose text ended at `end`, without whitespace between tokens.
    pub(super) fn minified<'a>(&'a mut self, text: &'a [u8], end: usize) -> &'a [u8] {
        if self.covered == 0 {
            return text.get(..end).unwrap_or_default();
        }
        self.cover(text, end);
        &self.minified
    }

    /// The same, in memory of its own if it has to.
    pub(super) fn into_minified(mut self, text: &[u8], end: usize) -> Cow<'_, [u8]> {
        if self.covered == 0 {
            return Cow::Borrowed(text.get(..end).unwrap_or_default());
        }
        self.cover(text, end);
        Cow::Owned(self.minified)
    }

    /// The flaw of a text that ends although it is not finished.
    #[cold]
    pub(super) fn unfinished(&self, text: &[u8]) -> Flaw {
        let state = match self.state {
            // A literal that the end cuts.
            State::ValueOrEnd if self.at < text.len() => State::Value,
            State::Zero => State::After,
            state => state,
        };
        Flaw { at: text.len(), reason: Reason::Grammar(self.expected(state)) }
    }

    /// Bytes of memory held.
    pub(super) fn held_bytes(&self) -> usize {
        self.minified.capacity()
    }

    /// Between two texts: keeps no more than `bytes` of memory.
    pub(super) fn give_back(&mut self, bytes: usize) {
        self.minified.clear();
        self.minified.shrink_to(bytes);
    }

    /// The one place that knows JSON's grammar. Returns with `at` at the byte that decided.
    fn scan(&mut self, text: &[u8]) -> Stop {
        let mut state = self.state;
        let mut at = self.at;
        // What `marks` mark ends here; nothing is marked yet.
        let mut marked = at;
        let mut marks = Marks { stops: 0, others: 0 };
        // Goes on to the next byte that `marks` mark.
        macro_rules! find {
            ($marks:ident) => {
                loop {
                    if at < marked {
                        let found = marks.$marks.wrapping_shr(at.wrapping_sub(marked) as u32);
                        if found != 0 {
                            at += found.trailing_zeros() as usize;
                            break text.get(at).copied();
                        }
                        at = marked;
                    }
                    let Some(rest @ [_, ..]) = text.get(at..) else {
                        at = text.len();
                        break None;
                    };
                    marks = Marks::of(rest);
                    marked = at + BLOCK_BYTES;
                }
            };
        }
        let stop = 'scan: loop {
            let byte = text.get(at).copied();
            'unexpected: {
                'after: {
                    'text: {
                        match state {
                            State::KeyOrEnd | State::Key => match byte {
                                Some(b'"') => {
                                    at += 1;
                                    state = State::KeyText;
                                    break 'text;
                                }
                                Some(b'}') if state == State::KeyOrEnd => break 'after,
                                _ => break 'unexpected,
                            },
                            State::KeyText | State::ValueText => break 'text,
                            State::Colon if byte == Some(b':') => {
                                at += 1;
                                state = State::Value;
                                continue 'scan;
                            }
                            State::Colon => break 'unexpected,
                            State::After => break 'after,
                            State::Value | State::ValueOrEnd => match byte {
                                Some(b'"') => {
                                    at += 1;
                                    state = State::ValueText;
                                    break 'text;
                                }
                                Some(b'0') => {
                                    at += 1;
                                    state = State::Zero;
                                    continue 'scan;
                                }
                                Some(b'1'..=b'9') => {
                                    at += 1;
                                    state = State::Integer;
                                    continue 'scan;
                                }
                                Some(b'-') => {
                                    at += 1;
                                    state = State::Minus;
                                    continue 'scan;
                                }
                                Some(open @ (b'{' | b'[')) => {
                                    if self.depth == MAX_DEPTH {
                                        break 'scan Stop::Flawed(Flaw {
                                            at,
                                            reason: Reason::TooDeep,
                                        });
                                    }
                                    at += 1;
                                    self.depth += 1;
                                    self.kinds = self.kinds << 1 | u128::from(open == b'{');
                                    state = match open {
                                        b'{' => State::KeyOrEnd,
                                        _ => State::ValueOrEnd,
                                    };
                                    continue 'scan;
                                }
                                Some(b']') if state == State::ValueOrEnd => break 'after,
                                _ => {}
                            },
                            State::Minus => {
                                state = match byte {
                                    Some(b'0') => State::Zero,
                                    Some(b'1'..=b'9') => State::Integer,
                                    _ => break 'unexpected,
                                };
                                at += 1;
                                continue 'scan;
                            }
                            State::Point | State::ExponentSign => {
                                if !byte.is_some_and(|byte| byte.is_ascii_digit()) {
                                    break 'unexpected;
                                }
                                at += 1;
                                state = match state {
                                    State::Point => State::Fraction,
                                    _ => State::ExponentDigits,
                                };
                                continue 'scan;
                            }
                            State::Exponent => {
                                state = match byte {
                                    Some(b'+' | b'-') => State::ExponentSign,
                                    Some(b'0'..=b'9') => State::ExponentDigits,
                                    _ => break 'unexpected,
                                };
                                at += 1;
                                continue 'scan;
                            }
                            State::Zero
                            | State::Integer
                            | State::Fraction
                            | State::ExponentDigits => {
                                let next = match state {
                                    State::Zero => byte,
                                    _ => find!(others),
                                };
                                match next {
                                    Some(b'.') if matches!(state, State::Zero | State::Integer) => {
                                        at += 1;
                                        state = State::Point;
                                        continue 'scan;
                                    }
                                    Some(b'e' | b'E') if state != State::ExponentDigits => {
                                        at += 1;
                                        state = State::Exponent;
                                        continue 'scan;
                                    }
                                    Some(b'0'..=b'9') | None => break 'unexpected,
                                    _ => {
                                        state = State::After;
                                        break 'after;
                                    }
                                }
                            }
                        }
                        // What is left at the place of a value.
                        match literal(text, at) {
                            Literal::Whole(len) => at += len,
                            Literal::Starved => break 'scan Stop::Starved,
                            Literal::Flawed(flaw) => {
                                at = flaw.at;
                                break 'scan Stop::Flawed(flaw);
                            }
                            Literal::None => break 'unexpected,
                        }
                        state = State::After;
                        break 'after;
                    }
                    // In a string.
                    loop {
                        match find!(stops) {
                            None => break 'scan Stop::Starved,
                            Some(b'"') => break,
                            Some(b'\\') => {
                                if let Some(
                                    b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't',
                                ) = text.get(at + 1)
                                {
                                    at += 2;
                                    continue;
                                }
                                match escape::judge(&text[at..]) {
                                    Ok(Some(len)) => at += len,
                                    Ok(None) => break 'scan Stop::Starved,
                                    Err(refused) => {
                                        let flaw = refused.flaw(at);
                                        at += refused.at;
                                        break 'scan Stop::Flawed(flaw);
                                    }
                                }
                            }
                            Some(0x80..) => match characters(&text[at..]) {
                                Characters::Good(0) => break 'scan Stop::Starved,
                                Characters::Good(len) => at += len,
                                Characters::Bad { start, seen } => {
                                    let flaw = Flaw { at: at + start, reason: Reason::Utf8 };
                                    at += seen;
                                    break 'scan Stop::Flawed(flaw);
                                }
                            },
                            Some(_) => {
                                let reason = Reason::Grammar(Expected::Text);
                                break 'scan Stop::Flawed(Flaw { at, reason });
                            }
                        }
                    }
                    at += 1;
                    if state == State::KeyText {
                        state = State::Colon;
                        continue 'scan;
                    }
                    state = State::After;
                }
                // After a value, or at the end of an empty object or array.
                match text.get(at) {
                    Some(b',') if state == State::After => {
                        at += 1;
                        state = if self.kinds & 1 == 1 { State::Key } else { State::Value };
                    }
                    Some(close @ (b'}' | b']')) if (*close == b'}') == (self.kinds & 1 == 1) => {
                        at += 1;
                        self.depth -= 1;
                        self.kinds >>= 1;
                        state = State::After;
                        if self.depth == 0 {
                            break 'scan Stop::Whole;
                        }
                    }
                    _ => break 'unexpected,
                }
                continue 'scan;
            }
            match text.get(at) {
                Some(b' ' | b'\t' | b'\n' | b'\r') if state.is_between_tokens() => {
                    at = self.cut_out(text, at);
                }
                Some(_) => {
                    let reason = Reason::Grammar(self.expected(state));
                    break Stop::Flawed(Flaw { at, reason });
                }
                None => break Stop::Starved,
            }
        };
        self.state = state;
        self.at = at;
        stop
    }

    /// Leaves out the whitespace at `at`; where it ends.
    #[inline(never)]
    fn cut_out(&mut self, text: &[u8], at: usize) -> usize {
        self.count(at);
        self.cover(text, at);
        self.covered = space::end(text, at);
        self.covered
    }

    /// Takes the text up to `end`, which has no whitespace between tokens.
    fn cover(&mut self, text: &[u8], end: usize) {
        self.minified.extend_from_slice(text.get(self.covered..end).unwrap_or_default());
        self.covered = end;
    }

    /// The size of the text up to `end`, in which there is no whitespace between tokens behind what is covered.
    fn count(&mut self, end: usize) -> u64 {
        let covered = self.minified.len() as u64;
        let size = covered + end.saturating_sub(self.covered) as u64;
        if size > self.limit && self.excess.is_none() {
            self.excess = Some(self.covered + self.limit.saturating_sub(covered) as usize);
        }
        size
    }

    /// What the grammar allows in this state.
    #[cold]
    fn expected(&self, state: State) -> Expected {
        match state {
            State::KeyOrEnd | State::Key => Expected::Key,
            State::KeyText | State::ValueText => Expected::Text,
            State::Colon => Expected::Colon,
            State::ValueOrEnd => Expected::FirstItem,
            State::Value => Expected::Value,
            State::Minus | State::Zero | State::Point | State::Exponent | State::ExponentSign => {
                Expected::Number
            }
            _ if self.kinds & 1 == 1 => Expected::MemberOrEnd,
            _ => Expected::ItemOrEnd,
        }
    }
}

/// What begins with a letter at the place of a value.
enum Literal {
    Whole(usize),
    /// The end of the text cuts it.
    Starved,
    Flawed(Flaw),
    /// It is something else.
    None,
}

fn literal(text: &[u8], at: usize) -> Literal {
    let rest = text.get(at..).unwrap_or_default();
    match rest.first_chunk() {
        Some(b"true" | b"null") => return Literal::Whole(4),
        Some(b"fals") if rest.get(4) == Some(&b'e') => return Literal::Whole(5),
        _ => {}
    }
    let word: &[u8] = match rest.first() {
        Some(b't') => b"true",
        Some(b'f') => b"false",
        Some(b'n') => b"null",
        _ => return Literal::None,
    };
    let same = word.iter().zip(rest).take_while(|(a, b)| a == b).count();
    if same == rest.len() {
        return Literal::Starved;
    }
    Literal::Flawed(Flaw { at: at + same, reason: Reason::Grammar(Expected::Literal) })
}

/// What a part of a string is that begins with a byte that is not ASCII.
enum Characters {
    /// So many bytes are whole characters, or the end of the text cuts the one behind them.
    Good(usize),
    /// The character that begins at `start` is none; the byte at `seen` shows it.
    Bad { start: usize, seen: usize },
}

#[inline(never)]
fn characters(text: &[u8]) -> Characters {
    let is_end = |byte: u8| byte < b' ' || byte == b'"' || byte == b'\\';
    let (blocks, _) = text.as_chunks::<16>();
    let plain =
        blocks.iter().take_while(|block| !block.iter().fold(false, |any, &b| any | is_end(b)));
    let start = plain.count() * 16;
    let rest = text.get(start..).unwrap_or_default();
    let end = start + rest.iter().position(|&byte| is_end(byte)).unwrap_or(rest.len());
    let error = match str::from_utf8(&text[..end]) {
        Ok(_) => return Characters::Good(end),
        Err(error) => error,
    };
    let start = error.valid_up_to();
    let seen = match (error.error_len(), text[start]) {
        (None, _) if end == text.len() => return Characters::Good(start),
        (None, _) => end,
        // These begin no character.
        (Some(_), ..0xC2 | 0xF5..) => start,
        (Some(len), _) => start + len,
    };
    Characters::Bad { start, seen }
}
