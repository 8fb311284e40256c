namespace rt { void tools_room(); void tools_room() {} }
