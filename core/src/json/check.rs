//! The check of one object, in one pass over bytes that may arrive in pieces.

use std::borrow::Cow;
use std::hint::cold_path;

use super::characters::{Characters, characters};
use super::flaw::{Expected, Flaw, Reason};
use super::literal::{Literal, literal};
use super::{MAX_DEPTH, escape, space, spare};
use crate::sys::marks::{BLOCK_BYTES, Marks};

/// What the text may go on with. In this order: at a value, in a string, after a value (the first of each is named below).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    /// After a colon, or a comma in an array.
    Value,
    /// After `[`.
    ValueOrEnd,
    /// In a key, behind its opening quote.
    KeyText,
    /// In a string that is a value, behind its opening quote.
    ValueText,
    /// After a value that has ended.
    After,
    /// After a number's first digit, which is 0. This and the next three may be the number's end.
    Zero,
    /// In the digits of a number's integer part.
    Integer,
    /// In the digits of the fraction.
    Fraction,
    /// In the digits of the exponent.
    ExponentDigits,
    /// After `{`.
    KeyOrEnd,
    /// After a comma in an object.
    Key,
    /// After a key.
    Colon,
    /// After a number's sign.
    Minus,
    /// After the point.
    Point,
    /// After the `e` of an exponent.
    Exponent,
    /// After its sign.
    ExponentSign,
}

/// Most of what stands between two whitespaces is shorter.
const SHORT_BYTES: usize = 16;
/// Most documents are shorter.
const EXPECTED_BYTES: usize = 4 << 10;

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    /// The object ends here.
    Whole,
    /// There are no more bytes, or too few for what begins here to be judged.
    Starved,
    /// There is a flaw, and the byte here shows it.
    Flawed,
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
    flaw: Option<Flaw>,
    /// How the last scan ended.
    stop: Stop,
    /// Means something inside a scan only.
    marks: Marks,
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
            flaw: None,
            stop: Stop::Starved,
            marks: Marks { stops: 0, others: 0 },
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
        self.stop = self.scan(text);
        self.conclude(text)
    }

    /// What [`Check::advance`] gives, of the text that was looked at last.
    pub(super) fn conclude(&mut self, text: &[u8]) -> Result<Option<usize>, Flaw> {
        let stop = self.stop;
        let seen = match stop {
            Stop::Whole => self.at,
            Stop::Starved => text.len(),
            Stop::Flawed => self.seen_with_flaw(),
        };
        let size = self.count(seen);
        match stop {
            _ if self.excess.is_some() => Err(self.too_large(size)),
            Stop::Whole => Ok(Some(self.at)),
            Stop::Starved => Ok(None),
            Stop::Flawed => Err(self.found_flaw()),
        }
    }

    /// Of a text with a flaw, the bytes that count.
    #[cold]
    fn seen_with_flaw(&self) -> usize {
        match self.found_flaw().reason {
            // A byte that the grammar does not allow belongs to no document.
            Reason::Grammar(_) => self.at,
            _ => self.at + 1,
        }
    }

    #[cold]
    fn found_flaw(&self) -> Flaw {
        self.flaw.unwrap_or(Flaw { at: self.at, reason: Reason::Grammar(Expected::End) })
    }

    #[cold]
    fn too_large(&self, size: u64) -> Flaw {
        let at = self.excess.unwrap_or_default();
        Flaw { at, reason: Reason::TooLarge { size, limit: self.limit } }
    }

    /// Keeps the flaw.
    #[cold]
    fn refuse(&mut self, at: usize, reason: Reason) -> Stop {
        self.flaw = Some(Flaw { at, reason });
        Stop::Flawed
    }

    /// Looks at a whole text, which begins with an opening brace. True when it is an object, to the last byte, and has no
    /// whitespace between tokens. If not, [`Check::conclude`] tells what there is.
    pub(super) fn is_minified(&mut self, text: &[u8]) -> bool {
        self.stop = self.scan(text);
        self.stop == Stop::Whole && self.covered == 0 && self.at == text.len()
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
    pub(super) fn take_minified<'a>(&mut self, text: &'a [u8], end: usize) -> Cow<'a, [u8]> {
        if self.covered == 0 {
            return Cow::Borrowed(text.get(..end).unwrap_or_default());
        }
        self.cover(text, end);
        Cow::Owned(std::mem::take(&mut self.minified))
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
    #[inline(never)]
    fn scan(&mut self, text: &[u8]) -> Stop {
        let mut state = self.state;
        let mut at = self.at;
        // What `marks` mark ends here; nothing is marked yet.
        let mut marked = at;
        // Goes on to the next byte that `marks` mark, or to the end.
        macro_rules! find {
            ($marks:ident) => {
                loop {
                    if at < marked {
                        let found = self.marks.$marks.wrapping_shr(at.wrapping_sub(marked) as u32);
                        if found != 0 {
                            at += found.trailing_zeros() as usize;
                            break;
                        }
                        at = marked;
                    }
                    if at >= text.len() {
                        cold_path();
                        at = text.len();
                        break;
                    }
                    self.marks = Marks::of(text, at);
                    marked = at + BLOCK_BYTES;
                }
            };
        }
        // The byte at `at`, or 0, which is allowed nowhere.
        macro_rules! byte {
            () => {
                if at < text.len() {
                    text[at]
                } else {
                    cold_path();
                    0
                }
            };
        }
        let stop = 'scan: loop {
            'odd: {
                // What is not straight on the way to a value or a string.
                match state {
                    State::Value
                    | State::ValueOrEnd
                    | State::KeyText
                    | State::ValueText
                    | State::After => {}
                    State::KeyOrEnd | State::Key => match byte!() {
                        b'"' => {
                            at += 1;
                            state = State::KeyText;
                        }
                        b'}' if state == State::KeyOrEnd => state = State::After,
                        _ => break 'odd,
                    },
                    State::Colon => {
                        if byte!() != b':' {
                            break 'odd;
                        }
                        at += 1;
                        state = State::Value;
                    }
                    _ => match number_goes_on(state, byte!()) {
                        _ if at == text.len() => break 'odd,
                        Some(State::After) => state = State::After,
                        Some(next) => {
                            at += 1;
                            state = next;
                            continue 'scan;
                        }
                        None => break 'odd,
                    },
                }
                'hot: loop {
                    'after: {
                        if state <= State::ValueOrEnd {
                            match byte!() {
                                b'"' => {
                                    at += 1;
                                    state = State::ValueText;
                                }
                                mut digit @ (b'0'..=b'9' | b'-') => {
                                    if digit == b'-' {
                                        at += 1;
                                        digit = byte!();
                                        if !digit.is_ascii_digit() {
                                            cold_path();
                                            state = State::Minus;
                                            continue 'scan;
                                        }
                                    }
                                    at += 1;
                                    state = State::Integer;
                                    if digit == b'0' {
                                        state = State::Zero;
                                        if byte!().is_ascii_digit() {
                                            cold_path();
                                            continue 'scan;
                                        }
                                    } else {
                                        // In arrays, numbers come in rows.
                                        loop {
                                            find!(others);
                                            if byte!() != b',' || self.is_in_object() {
                                                break;
                                            }
                                            at += 1;
                                            if let b' ' | b'\n' = byte!() {
                                                at = self.leave_out(text, at);
                                            }
                                            let b'1'..=b'9' = byte!() else {
                                                state = State::Value;
                                                continue 'hot;
                                            };
                                            at += 1;
                                        }
                                    }
                                    if byte!() == b'.' {
                                        at += 1;
                                        if !byte!().is_ascii_digit() {
                                            cold_path();
                                            state = State::Point;
                                            continue 'scan;
                                        }
                                        find!(others);
                                        state = State::Fraction;
                                    }
                                    if !matches!(byte!(), b',' | b'}' | b']') {
                                        cold_path();
                                        continue 'scan;
                                    }
                                    break 'after;
                                }
                                open @ (b'{' | b'[') => {
                                    if self.depth == MAX_DEPTH {
                                        cold_path();
                                        break 'scan self.refuse(at, Reason::TooDeep);
                                    }
                                    at += 1;
                                    self.open(open == b'{');
                                    if open == b'[' {
                                        state = State::ValueOrEnd;
                                        continue 'hot;
                                    }
                                    if byte!() != b'"' {
                                        state = State::KeyOrEnd;
                                        continue 'scan;
                                    }
                                    at += 1;
                                    state = State::KeyText;
                                }
                                b']' if state == State::ValueOrEnd => break 'after,
                                b' ' | b'\n' => {
                                    at = self.leave_out(text, at);
                                    continue 'hot;
                                }
                                _ => match literal(text.get(at..).unwrap_or_default()) {
                                    Literal::Whole(len) => {
                                        at += len;
                                        break 'after;
                                    }
                                    Literal::Starved => break 'scan Stop::Starved,
                                    Literal::Flawed(same) => {
                                        at += same;
                                        let reason = Reason::Grammar(Expected::Literal);
                                        break 'scan self.refuse(at, reason);
                                    }
                                    Literal::None => break 'odd,
                                },
                            }
                        } else if state == State::After {
                            break 'after;
                        }
                        // In a string.
                        loop {
                            find!(stops);
                            if byte!() == b'"' {
                                break;
                            }
                            match self.in_string(text, at) {
                                Ok(end) => at = end,
                                Err((stop, seen)) => {
                                    at = seen;
                                    break 'scan stop;
                                }
                            }
                        }
                        at += 1;
                        if state == State::KeyText {
                            if byte!() != b':' {
                                cold_path();
                                state = State::Colon;
                                continue 'scan;
                            }
                            at += 1;
                            state = State::Value;
                            continue 'hot;
                        }
                    }
                    // After a value.
                    let byte = byte!();
                    if byte == b',' {
                        at += 1;
                        if !self.is_in_object() {
                            state = State::Value;
                            continue 'hot;
                        }
                        if let b' ' | b'\n' = byte!() {
                            at = self.leave_out(text, at);
                        }
                        if byte!() != b'"' {
                            cold_path();
                            state = State::Key;
                            continue 'scan;
                        }
                        at += 1;
                        state = State::KeyText;
                        continue 'hot;
                    }
                    match byte {
                        close @ (b'}' | b']') if (close == b'}') == self.is_in_object() => {
                            at += 1;
                            state = State::After;
                            self.close();
                            if self.depth == 0 {
                                break 'scan Stop::Whole;
                            }
                        }
                        _ => {
                            state = State::After;
                            break 'odd;
                        }
                    }
                }
            }
            if space::is_space(byte!()) && state.is_between_tokens() {
                at = self.leave_out(text, at);
                continue;
            }
            break self.odd(text, at, state);
        };
        self.state = state;
        self.at = at;
        stop
    }

    #[inline(never)]
    fn open(&mut self, is_object: bool) {
        self.depth += 1;
        self.kinds = self.kinds << 1 | u128::from(is_object);
    }

    #[inline(never)]
    fn close(&mut self) {
        self.depth -= 1;
        self.kinds >>= 1;
    }

    #[inline(always)]
    fn is_in_object(&self) -> bool {
        self.kinds & 1 == 1
    }

    /// What is not plain in a string: where it ends, or why the scan does, and at which byte.
    #[inline(never)]
    fn in_string(&mut self, text: &[u8], at: usize) -> Result<usize, (Stop, usize)> {
        let rest = text.get(at..).unwrap_or_default();
        match rest {
            [] => Err((Stop::Starved, at)),
            [b'\\', b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => Ok(at + 2),
            [b'\\', ..] => match escape::judge(rest) {
                Ok(Some(len)) => Ok(at + len),
                Ok(None) => Err((Stop::Starved, at)),
                Err(refused) => {
                    let flaw = refused.flaw(at);
                    Err((self.refuse(flaw.at, flaw.reason), at + refused.at))
                }
            },
            [0x80..=0xFF, ..] => match characters(rest) {
                Characters::Good(0) => Err((Stop::Starved, at)),
                Characters::Good(len) => Ok(at + len),
                Characters::Bad { start, seen } => {
                    Err((self.refuse(at + start, Reason::Utf8), at + seen))
                }
            },
            [_, ..] => Err((self.refuse(at, Reason::Grammar(Expected::Text)), at)),
        }
    }

    /// Leaves out the whitespace at `at`, where it may stand, and tells where it ends.
    #[inline(never)]
    fn leave_out(&mut self, text: &[u8], at: usize) -> usize {
        let len = at - self.covered;
        let before = self.minified.len();
        let has_room = self.minified.capacity() - before >= SHORT_BYTES;
        if len > SHORT_BYTES || !has_room || (before + len) as u64 > self.limit {
            return self.leave_out_more(text, at);
        }
        // More than is wanted, but without a call.
        let rest = text.get(self.covered..).unwrap_or_default();
        let bytes = match rest.first_chunk::<SHORT_BYTES>() {
            Some(bytes) => *bytes,
            None => match text.last_chunk() {
                Some(last) => {
                    let last = u128::from_le_bytes(*last);
                    last.wrapping_shr(8 * (SHORT_BYTES - rest.len()) as u32).to_le_bytes()
                }
                None => return self.leave_out_more(text, at),
            },
        };
        self.minified.extend_from_slice(&bytes);
        self.minified.truncate(before + len);
        self.covered = match text.get(at + 1) {
            Some(b'!'..) => at + 1,
            _ => space::end(text, at + 1),
        };
        self.covered
    }

    /// The same when it takes more than a glance: the first of a document, what stands behind more than a few bytes.
    #[inline(never)]
    fn leave_out_more(&mut self, text: &[u8], at: usize) -> usize {
        if self.limit != u64::MAX {
            self.count(at);
        }
        if self.minified.is_empty() {
            if self.minified.capacity() == 0 {
                self.minified = spare::take();
            }
            // All that can come of most documents. Behind this one there may be many more in `text`.
            self.minified.reserve(text.len().min(EXPECTED_BYTES) + SHORT_BYTES);
        }
        self.cover(text, at);
        self.covered = space::end(text, at);
        self.covered
    }

    /// Why the scan ends at what is no token that may stand here.
    #[cold]
    #[inline(never)]
    fn odd(&mut self, text: &[u8], at: usize, state: State) -> Stop {
        if at == text.len() {
            return Stop::Starved;
        }
        self.refuse(at, Reason::Grammar(self.expected(state)))
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

/// The state after one more byte of a number; [`State::After`] when the number ends before it, None when it can't.
#[cold]
#[inline(never)]
fn number_goes_on(state: State, byte: u8) -> Option<State> {
    match (state, byte) {
        (State::Minus, b'0') => Some(State::Zero),
        (State::Minus | State::Integer, b'0'..=b'9') => Some(State::Integer),
        (State::Zero | State::Integer, b'.') => Some(State::Point),
        (State::Point | State::Fraction, b'0'..=b'9') => Some(State::Fraction),
        (State::Zero | State::Integer | State::Fraction, b'e' | b'E') => Some(State::Exponent),
        (State::Exponent, b'+' | b'-') => Some(State::ExponentSign),
        (State::Exponent | State::ExponentSign | State::ExponentDigits, b'0'..=b'9') => {
            Some(State::ExponentDigits)
        }
        (State::Zero, b'0'..=b'9') => None,
        (State::Zero | State::Integer | State::Fraction | State::ExponentDigits, _) => {
            Some(State::After)
        }
        _ => None,
    }
}
