"""Networks in the forms that other libraries load. A writer returns how, as Markdown."""
