"""From parsed options to a run that is started, kept, shown and concluded."""
