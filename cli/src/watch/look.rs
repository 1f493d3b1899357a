//! How things look on this terminal. Colours only repeat what the characters say.

use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::border;

pub(super) const FAINT: Style = Style::new().add_modifier(Modifier::DIM);
pub(super) const STRONG: Style = Style::new().add_modifier(Modifier::BOLD);
pub(super) const CHOSEN: Style = Style::new().add_modifier(Modifier::REVERSED);

/// The capabilities of the terminal.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// Characters beyond ASCII.
    pub is_utf8: bool,
    /// Colours.
    pub is_coloured: bool,
}

impl Look {
    pub(super) const fn pick<T: Copy>(self, utf8: T, ascii: T) -> T {
        if self.is_utf8 { utf8 } else { ascii }
    }

    fn colour(self, colour: Color) -> Style {
        if self.is_coloured { Style::new().fg(colour) } else { Style::new() }
    }

    pub(super) fn good(self) -> Style {
        self.colour(Color::Green)
    }

    pub(super) fn warning(self) -> Style {
        self.colour(Color::Yellow)
    }

    pub(super) fn bad(self) -> Style {
        self.colour(Color::Red)
    }

    pub(super) fn frame(self) -> border::Set<'static> {
        let ascii = border::Set {
            top_left: "+",
            top_right: "+",
            bottom_left: "+",
            bottom_right: "+",
            vertical_left: "|",
            vertical_right: "|",
            horizontal_top: "-",
            horizontal_bottom: "-",
        };
        self.pick(border::PLAIN, ascii)
    }
}
