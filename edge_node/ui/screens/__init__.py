"""The Kivy side: widgets that show the presenter's state and call it back. Nothing here decides anything."""
