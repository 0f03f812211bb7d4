// The tolerant reader. One pass from left to right; the position never moves back, and what looks
// ahead (the end of a string) is remembered, so that the work is linear for any bytes.
#include <algorithm>
#include <array>
#include <cmath>

#include "core/text/completion.h"
#include "core/text/lexing.h"
#include "core/text/usual_items.h"

namespace perception {

namespace {

// A flat list of numbers, "[1, 2]" or "(1, 2)".
struct NumberList {
  bool complete = false;  // read up to its own closing bracket
  bool cut = false;       // the text ended inside it
  bool finite = true;     // of the first four numbers
  bool round = false;     // written with ( )
  size_t count = 0;
  double numbers[4] = {};
  size_t begin = 0, end = 0;  // end: where reading stopped
};

// Parts of an object that the reader knows by their key.
enum class Key : uint8_t { kOther, kBox, kPoint, kLabel };

struct Coordinates {
  enum State : uint8_t { kAbsent, kBad, kUsable } state = kAbsent;
  uint8_t faults = 0;  // why it is bad
  double values[4] = {};
};

// An open "{".
struct Frame {
  size_t begin = 0;
  size_t first_object = 0;    // where its own objects belong among all objects
  bool set = false;           // "{a, b}" inside an object: no keys, no item
  bool has_children = false;  // holds other objects
  bool is_value = false;      // stands where a bbox_2d or point_2d belongs
  Key key = Key::kOther;      // the last key read
  Coordinates box, point;
  bool has_label = false;
  TextSpan label;
};

// Where the string that is open at `from` (or anywhere from there up to `at`) closes.
struct Close {
  size_t from = 1, at = 0;
  size_t next = 0;  // what follows the quote, after white space
};

// Memory that is kept between completions.
struct Workspace {
  std::vector<TextSpan> pieces;
  std::array<Frame, kMaxDepth> frames;
};

class AnyReader {
 public:
  AnyReader(std::string_view text, Workspace& workspace, ParsedCompletion& out)
      : text_(text), out_(out), pieces_(workspace.pieces), frames_(workspace.frames) {}

  void read() {
    const AnswerPieces wrappers = answer_pieces(text_, pieces_);
    if (wrappers.truncated) out_.faults |= kFaultTruncated;
    const std::string_view whole = text_;
    for (const TextSpan& piece : pieces_) {
      text_ = whole.substr(0, piece.end);
      read_piece(piece.begin);
      if (full_) break;
    }
    bool usable = false;
    for (const ParsedObject& object : out_.objects) {
      out_.faults |= object.faults;
      usable |= object.kind != ObjectKind::kRejected;
    }
    if (!usable) out_.faults |= kFaultNoObjects;
  }

 private:
  void read_piece(size_t begin) {
    position_ = begin;
    before_ = '\0';
    depth_ = floor_ = 0;
    closes_ = {};
    has_pair_ = has_label_ = false;
    while (position_ < text_.size() && !full_) {
      const char c = text_[position_];
      switch (c) {
        case '<':
          if (!read_token()) pass(c);
          break;
        case '[':
        case '(':
          if (depth_ > 0) {
            pass(c);
          } else {
            read_bare_list();
          }
          break;
        case '{':
          open_brace();
          break;
        case '}':
          close_brace();
          break;
        case '"':
        case '\'':
          if (!read_string(c)) pass(c);
          break;
        default:
          if (is_space(c)) {
            ++position_;
          } else {
            pass(c);
          }
      }
    }
    if (full_) return;
    flush_pair();
    cut_open_objects();
  }

  void pass(char c) {
    before_ = c;
    ++position_;
  }

  char at(size_t position) const { return position < text_.size() ? text_[position] : '\0'; }

  // ---- objects -------------------------------------------------------------------------------

  ParsedObject make(ObjectKind kind, size_t begin, size_t end, uint8_t faults = kFaultNone) const {
    ParsedObject object;
    object.kind = kind;
    object.faults = faults;
    object.text_begin = static_cast<uint32_t>(begin);
    object.text_end = static_cast<uint32_t>(end);
    return object;
  }

  // A box (4 numbers) or a point (2).
  ParsedObject make(size_t begin, size_t end, const double* values, size_t count) const {
    if (count == 4) {
      ParsedObject box;
      make_box(begin, end, values, box);
      return box;
    }
    ParsedObject point = make(ObjectKind::kPoint, begin, end);
    std::copy(values, values + count, point.coordinates);
    return point;
  }

  // `box` is as new.
  static void make_box(size_t begin, size_t end, const double* values, ParsedObject& box) {
    box.kind = ObjectKind::kBox;
    box.text_begin = static_cast<uint32_t>(begin);
    box.text_end = static_cast<uint32_t>(end);
    std::copy(values, values + 4, box.coordinates);
    if (values[2] < values[0] || values[3] < values[1]) box.faults = kFaultInverted;
  }

  ParsedObject make(const NumberList& list) const {
    if (!list.finite) return make(ObjectKind::kRejected, list.begin, list.end, kFaultNonFinite);
    return make(list.begin, list.end, list.numbers, list.count);
  }

  void add(const ParsedObject& object) { insert(object, out_.objects.size()); }

  bool has_room() {
    full_ = out_.objects.size() >= kMaxObjects;
    if (full_) out_.faults |= kFaultLimit;
    return !full_;
  }

  void insert(const ParsedObject& object, size_t place) {
    if (!has_room()) return;
    out_.objects.insert(out_.objects.begin() + static_cast<std::ptrdiff_t>(place), object);
  }

  // ---- lists of numbers outside JSON objects -------------------------------------------------

  NumberList lex_list(size_t begin) const {
    NumberList list;
    list.begin = begin;
    list.round = text_[begin] == '(';
    const char closer = list.round ? ')' : ']';
    size_t i = skip_space(text_, begin + 1);
    while (i < text_.size()) {
      double value = 0;
      const size_t after = lex_number(text_, i, value);
      if (after == i) break;
      if (list.count < 4) {
        list.numbers[list.count] = value;
        list.finite &= std::isfinite(value);
      }
      ++list.count;
      i = skip_space(text_, after);
      if (at(i) != ',') break;
      i = skip_space(text_, i + 1);
    }
    if (at(i) == closer) {
      list.complete = true;
      ++i;
    } else {
      const size_t rest = text_.find_first_not_of("+-.eE", i);  // a number that was cut
      list.cut = rest == std::string_view::npos;
    }
    list.end = i;
    return list;
  }

  // Whether only a comma stands between the two positions.
  bool only_comma_between(size_t begin, size_t end) const {
    return trim(text_.substr(begin, end - begin)) == ",";
  }

  void read_bare_list() {
    const NumberList list = lex_list(position_);
    position_ = list.end;
    const bool second = has_pair_ && list.round && only_comma_between(pair_.end, list.begin);
    if (second && list.complete && list.count == 2) {
      has_pair_ = false;
      add(make(join(pair_, list)));
    } else if (second && list.cut) {
      has_pair_ = false;
      add(make(ObjectKind::kRejected, pair_.begin, text_.size(), kFaultTruncated));
    } else {
      flush_pair();
      if (list.complete && list.count == 2 && list.round) {
        has_pair_ = true;
        pair_ = list;
      } else if (list.complete && (list.count == 4 || list.count == 2)) {
        add(make(list));
      } else if (list.cut && list.count > 0) {
        out_.faults |= kFaultTruncated;
      }
    }
  }

  static NumberList join(const NumberList& first, const NumberList& second) {
    NumberList list = first;
    list.count = 4;
    list.numbers[2] = second.numbers[0];
    list.numbers[3] = second.numbers[1];
    list.finite = first.finite && second.finite;
    list.end = second.end;
    return list;
  }

  // "(x, y)" is held back until it is sure that no second corner follows.
  void flush_pair() {
    if (!has_pair_) return;
    has_pair_ = false;
    add(make(pair_));
  }

  // ---- special tokens ------------------------------------------------------------------------

  bool read_token() {
    const bool box = has_at(text_, position_, kBoxStart);
    if (!box && !has_at(text_, position_, kLabelStart)) return false;
    flush_pair();
    before_ = '>';
    if (box) {
      read_box();
    } else {
      read_label();
    }
    return true;
  }

  // The next of the four tokens at or after `from`; the end of the text where there is none.
  size_t next_token(size_t from) const {
    for (size_t i = text_.find("<|", from); i < text_.size(); i = text_.find("<|", i + 2)) {
      for (std::string_view token : {kBoxStart, kBoxEnd, kLabelStart, kLabelEnd}) {
        if (has_at(text_, i, token)) return i;
      }
    }
    return text_.size();
  }

  void read_label() {
    const size_t begin = position_ + kLabelStart.size();
    const size_t end = next_token(begin);
    has_label_ = has_at(text_, end, kLabelEnd);
    if (has_label_) {
      const std::string_view label = trim(text_.substr(begin, end - begin));
      label_begin_ = static_cast<uint32_t>(out_.labels.size());
      label_size_ = static_cast<uint32_t>(label.size());
      out_.labels.append(label);
      position_ = end + kLabelEnd.size();
    } else {
      if (end == text_.size()) out_.faults |= kFaultTruncated;
      position_ = begin;
    }
  }

  void read_box() {
    const size_t begin = position_;
    size_t i = skip_space(text_, begin + kBoxStart.size());
    NumberList list;
    bool valid = false;
    if (at(i) == '(' || at(i) == '[') {
      list = lex_list(i);
      i = list.complete ? skip_space(text_, list.end) : list.end;
      valid = list.complete && (list.count == 4 || (list.count == 2 && list.round));
      if (valid && list.count == 2 && at(i) == ',') {
        i = skip_space(text_, i + 1);
        valid = at(i) == '(';
        if (valid) {
          const NumberList second = lex_list(i);
          valid = second.complete && second.count == 2;
          i = valid ? skip_space(text_, second.end) : second.end;
          list = join(list, second);
        }
      }
    }
    ParsedObject object;
    if (valid && has_at(text_, i, kBoxEnd)) {
      position_ = i + kBoxEnd.size();
      list.begin = begin;
      list.end = position_;
      object = make(list);
    } else {
      const size_t token = next_token(i);
      const bool cut = token == text_.size();
      // Without any token left, what follows may still hold another syntax.
      position_ = cut ? i : token;
      if (has_at(text_, token, kBoxEnd)) position_ += kBoxEnd.size();
      object = make(ObjectKind::kRejected, begin, cut ? token : position_,
                    cut ? kFaultTruncated : kFaultMalformed);
    }
    object.has_label = has_label_;
    if (has_label_) {
      object.label_begin = label_begin_;
      object.label_size = label_size_;
    }
    add(object);
  }

  // ---- JSON objects --------------------------------------------------------------------------

  // Frames are a ring: beyond kMaxDepth the outermost is forgotten, the innermost are still read.
  Frame& frame_at(int level) { return frames_[static_cast<size_t>(level) % kMaxDepth]; }
  Frame& top() { return frame_at(depth_ - 1); }

  void push(size_t begin, bool set) {
    flush_pair();
    Frame frame;
    frame.begin = begin;
    frame.first_object = out_.objects.size();
    frame.set = set;
    if (depth_ > 0 && !set) {
      frame.is_value = before_ == ':' && (top().key == Key::kBox || top().key == Key::kPoint);
      for (int level = depth_ - 1; level >= floor_; --level) {
        Frame& outer = frame_at(level);
        outer.has_children = true;
        if (!outer.set) break;
      }
    }
    ++depth_;
    if (depth_ - floor_ > kMaxDepth) {
      ++floor_;
      out_.faults |= kFaultLimit;
    }
    top() = frame;
  }

  void pop() {
    --depth_;
    if (depth_ == floor_) depth_ = floor_ = 0;
  }

  // A brace opens an object only where a key, or its closing brace, or the end of the text follows;
  // in prose it means nothing.
  void open_brace() {
    if (depth_ == 0 && read_usual_items()) return;
    const size_t begin = position_;
    const size_t i = skip_space(text_, begin + 1);
    const char c = at(i);
    bool object = i == text_.size() || c == '}';
    if (c == '"' || c == '\'') {
      const Close& close = find_close(c, i + 1);
      object = close.next == text_.size() || text_[close.next] == ':';
    }
    if (object || depth_ > 0) push(begin, !object);
    before_ = '{';
    position_ = i;
  }

  // As the main loop would read them one by one.
  bool read_usual_items() {
    const char* const end = text_.data() + text_.size();
    UsualItem item;
    if (!usual_items_.read(text_.data() + position_, end, item)) return false;
    flush_pair();
    do {
      if (!has_room()) break;
      position_ = static_cast<size_t>(item.end - text_.data());
      ParsedObject& object = out_.objects.emplace_back();
      make_box(static_cast<size_t>(item.begin - text_.data()), position_, item.values, object);
      add_label(item.label, object);
    } while (usual_items_.read_next(end, item));
    before_ = '}';
    return true;
  }

  void close_brace() {
    ++position_;
    before_ = '}';
    if (depth_ == 0) return;
    const Frame& frame = top();
    if (!frame.set) emit(frame);
    pop();
  }

  void emit(const Frame& frame) {
    const bool has_box = frame.box.state == Coordinates::kUsable;
    const bool has_point = frame.point.state == Coordinates::kUsable;
    const uint8_t faults = frame.box.faults | frame.point.faults;
    ParsedObject object;
    if (has_box || has_point) {
      out_.faults |= faults;
      size_t place = frame.first_object;
      if (has_box) {
        object = make(frame.begin, position_, frame.box.values, 4);
        add_label(frame, object);
        insert(object, place++);
      }
      if (has_point) {
        ParsedObject point = make(frame.begin, position_, frame.point.values, 2);
        point.has_label = object.has_label;
        point.label_begin = object.label_begin;
        point.label_size = object.label_size;
        if (!has_box) add_label(frame, point);
        insert(point, place);
      }
    } else if (faults != 0 || (!frame.has_children && !frame.is_value)) {
      object = make(ObjectKind::kRejected, frame.begin, position_,
                    faults == 0 ? static_cast<uint8_t>(kFaultMalformed) : faults);
      add_label(frame, object);
      insert(object, frame.first_object);
    }
  }

  // The text ended inside these.
  void cut_open_objects() {
    size_t added = 0;
    for (int level = floor_; level < depth_; ++level) {
      const Frame& frame = frame_at(level);
      if (frame.set) continue;
      out_.faults |= kFaultTruncated;
      const bool item = frame.box.state != Coordinates::kAbsent || frame.point.state != Coordinates::kAbsent;
      if (!item && (frame.has_children || frame.is_value)) continue;
      ParsedObject object = make(ObjectKind::kRejected, frame.begin, text_.size(), kFaultTruncated);
      add_label(frame, object);
      insert(object, frame.first_object + added++);
    }
    depth_ = floor_ = 0;
  }

  // A label without escapes.
  void add_label(std::string_view label, ParsedObject& object) {
    object.has_label = true;
    object.label_begin = static_cast<uint32_t>(out_.labels.size());
    object.label_size = static_cast<uint32_t>(label.size());
    out_.labels.append(label);
  }

  void add_label(const Frame& frame, ParsedObject& object) {
    if (!frame.has_label) return;
    object.has_label = true;
    object.label_begin = static_cast<uint32_t>(out_.labels.size());
    append_unescaped(text_.substr(frame.label.begin, frame.label.end - frame.label.begin), out_.labels);
    object.label_size = static_cast<uint32_t>(out_.labels.size() - object.label_begin);
  }

  // Where the string whose inside starts at `from` closes. A double quote closes it always, a
  // single one only where a value can end, so that 'teddy bear's' is one string.
  const Close& find_close(char quote, size_t from) {
    Close& close = closes_[quote == '"' ? 0 : 1];
    if (close.from <= from && from <= close.at) return close;
    close.from = from;
    close.at = close.next = text_.size();
    const std::array<char, 2> stops = {quote, '\\'};
    const std::string_view stop(stops.data(), stops.size());
    for (size_t i = text_.find_first_of(stop, from); i < text_.size(); i = text_.find_first_of(stop, i)) {
      if (text_[i] == '\\') {
        i += 2;
        continue;
      }
      const size_t next = skip_space(text_, i + 1);
      const char c = at(next);
      if (quote == '"' || next == text_.size() || c == ',' || c == ':' || c == '}' || c == ']') {
        close.at = i;
        close.next = next;
        break;
      }
      ++i;
    }
    return close;
  }

  // In an object, a quote where a key or a value can stand opens a string.
  bool read_string(char quote) {
    if (depth_ == 0 || std::string_view("{[(,:").find(before_) == std::string_view::npos) {
      return false;
    }
    const size_t begin = position_ + 1;
    const Close& close = find_close(quote, begin);
    if (close.at == text_.size()) return false;
    if (at(close.next) != ':') {
      position_ = close.at;
      pass(quote);
      return true;
    }
    position_ = close.next;
    pass(':');
    if (!top().set) read_value(top(), key_of(text_.substr(begin, close.at - begin)));
    return true;
  }

  Key key_of(std::string_view name) {
    if (name.find('\\') != std::string_view::npos) {
      scratch_.clear();
      append_unescaped(name, scratch_);
      name = scratch_;
    }
    if (name == "bbox_2d") return Key::kBox;
    if (name == "point_2d") return Key::kPoint;
    if (name == "label") return Key::kLabel;
    return Key::kOther;
  }

  // Reads what the reader needs of a value; the rest is left to the main loop.
  void read_value(Frame& frame, Key key) {
    frame.key = key;
    const size_t begin = skip_space(text_, position_);
    const char c = at(begin);
    if (key == Key::kLabel) {
      frame.has_label = false;
      if (c != '"' && c != '\'') return;
      const Close& close = find_close(c, begin + 1);
      if (close.at == text_.size()) return;
      frame.has_label = true;
      frame.label = {begin + 1, close.at};
      position_ = close.at;
      pass(c);
    } else if (key != Key::kOther) {
      Coordinates& coordinates = key == Key::kBox ? frame.box : frame.point;
      const size_t wanted = key == Key::kBox ? 4 : 2;
      coordinates = {};
      if (has_at(text_, begin, "null")) return;
      coordinates.state = Coordinates::kBad;
      coordinates.faults = kFaultMalformed;
      if (c != '[' && c != '(') return;
      const NumberList list = lex_list(begin);
      position_ = list.end;
      before_ = list.complete ? ']' : ',';
      if (!list.complete || list.count != wanted) return;
      coordinates.faults = list.finite ? kFaultNone : kFaultNonFinite;
      if (!list.finite) return;
      coordinates.state = Coordinates::kUsable;
      std::copy(list.numbers, list.numbers + wanted, coordinates.values);
    }
  }

  std::string_view text_;  // up to the end of the piece that is being read
  ParsedCompletion& out_;
  std::vector<TextSpan>& pieces_;
  size_t position_ = 0;
  char before_ = '\0';  // the last character that was not white space
  bool full_ = false;

  std::array<Frame, kMaxDepth>& frames_;
  int depth_ = 0, floor_ = 0;  // open braces, and how many of them were forgotten
  std::array<Close, 2> closes_;
  std::string scratch_;
  UsualItems usual_items_;

  bool has_pair_ = false;
  NumberList pair_;

  bool has_label_ = false;  // of the special tokens; it holds for every box up to the next label
  uint32_t label_begin_ = 0, label_size_ = 0;
};

}  // namespace

void read_any(std::string_view text, ParsedCompletion& out) {
  thread_local Workspace workspace;
  out.clear();
  AnyReader(clip_to_spans(text), workspace, out).read();
}

}  // namespace perception
