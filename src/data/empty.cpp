namespace rt {
void data_room();
void data_room() {}
}  // namespace rt
