"""What coordinator and nodes agree on: formats, decisions and errors. Pure: no sockets, clocks, TensorFlow or Kivy."""
