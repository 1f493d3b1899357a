//! The lists on the screen: which there are, how they are sorted, and which row of each is selected.

use ratatui::crossterm::event::KeyCode;

/// The lists, in their order on the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Panel {
    /// Available and reserved.
    Products,
    /// By deadline.
    Reservations,
    /// Newest first.
    Alerts,
}

impl Panel {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Products, Self::Reservations, Self::Alerts];

    pub(super) const fn next(self) -> Self {
        match self {
            Self::Products => Self::Reservations,
            Self::Reservations => Self::Alerts,
            Self::Alerts => Self::Products,
        }
    }

    pub(super) const fn previous(self) -> Self {
        self.next().next()
    }
}

/// The order of the products.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Those of which the fewest units can be reserved.
    LeastAvailable,
    /// Those with the most reserved units.
    MostReserved,
    /// By name.
    Name,
}

impl Order {
    /// Its name in a title.
    pub const fn name(self) -> &'static str {
        match self {
            Self::LeastAvailable => "least available first",
            Self::MostReserved => "most reserved first",
            Self::Name => "by name",
        }
    }

    pub(super) const fn next(self) -> Self {
        match self {
            Self::LeastAvailable => Self::MostReserved,
            Self::MostReserved => Self::Name,
            Self::Name => Self::LeastAvailable,
        }
    }
}

/// A position in a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// The selected row.
    pub at: usize,
    /// The first visible row.
    pub top: usize,
    /// The number of visible rows, set when the list is drawn.
    pub height: usize,
}

impl Cursor {
    /// Keeps it within a list of this length, with the selected row visible.
    pub fn fit(&mut self, length: usize, height: usize) {
        self.height = height;
        self.at = self.at.min(length.saturating_sub(1));
        let lowest = (self.at + 1).saturating_sub(height);
        self.top = self.top.max(lowest).min(self.at).min(length.saturating_sub(height));
    }

    pub(super) fn press(&mut self, key: KeyCode, length: usize) {
        let page = self.height.max(1);
        let last = length.saturating_sub(1);
        self.at = match key {
            KeyCode::Up | KeyCode::Char('k') => self.at.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => self.at + 1,
            KeyCode::PageUp => self.at.saturating_sub(page),
            KeyCode::PageDown => self.at + page,
            KeyCode::Home | KeyCode::Char('g') => 0,
            KeyCode::End | KeyCode::Char('G') => last,
            _ => self.at,
        }
        .min(last);
        self.fit(length, self.height);
    }
}
