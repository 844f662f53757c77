//! A line that is typed, in the last line of the view.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use tui_input::Input;

use super::pools_view::{STRONG, put};

/// Draws the prompt and what is typed, and says where the cursor is.
pub(crate) fn draw(buffer: &mut Buffer, line: Rect, prompt: &str, input: &Input) -> (u16, u16) {
    let end = line.right();
    let x = put(buffer, line.x, line.y, end, prompt, STRONG);
    let room = usize::from(end.saturating_sub(x)).saturating_sub(1);
    let scroll = input.visual_scroll(room);
    put(buffer, x, line.y, end, &skip_columns(input.value(), scroll), Default::default());
    let cursor = input.visual_cursor().saturating_sub(scroll);
    let at = x.saturating_add(u16::try_from(cursor).unwrap_or(u16::MAX));
    (at.min(end.saturating_sub(1)), line.y)
}

/// The text from column `columns` on.
fn skip_columns(text: &str, columns: usize) -> String {
    use unicode_width::UnicodeWidthChar as _;
    let mut left = columns;
    let mut chars = text.chars();
    while left > 0 {
        let Some(c) = chars.next() else { break };
        left = left.saturating_sub(c.width().unwrap_or(0));
    }
    chars.as_str().to_owned()
}
