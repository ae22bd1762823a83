# programs of this room
