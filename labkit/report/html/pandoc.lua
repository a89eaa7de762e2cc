-- pandoc's side of snippets.py: reads snippets as JSON on standard input and writes the HTML of each.
-- It is not safe to show before it is sanitised.

local tables = dofile(
  pandoc.path.join{pandoc.path.directory(arg[0]), '..', 'tables.lua'})
local FORMATS = {
  markdown = 'commonmark+footnotes+pipe_tables+tex_math_dollars+raw_html+smart+strikeout'
    .. '+task_lists+autolink_bare_uris+gfm_auto_identifiers+alerts',
  html = 'html+tex_math_dollars',
  latex = 'latex',
}
local OPTIONS = pandoc.WriterOptions{html_math_method = 'mathml', wrap_text = 'none'}
local NO_FILES = {}  -- \input in an output must not read from the disk

-- `names` are the labels that the text may mention, each with what it is called: "Figure 3"
local function references(names)
  return function(str)
    -- which pandoc would write as form fields
    if str.text == '☐' or str.text == '☒' then return pandoc.RawInline('html', str.text) end
    local out, rest = pandoc.Inlines{}, str.text
    while true do
      local before, open, label, close, after = rest:match('^(.-)(%[?)@(%w[%w_:-]*)(%]?)(.*)$')
      if not (label and names[label]) or before:match('[%w_]$') then break end
      if open == '' or close == '' then before, after = before .. open, close .. after end
      out:extend{pandoc.Str(before), pandoc.Link(names[label], '#' .. label)}
      rest = after
    end
    if #out > 0 then out:insert(pandoc.Str(rest)) return out end
  end
end

-- as classes, because the page allows no style attributes: columns of numbers stand right
local function align(tbl)
  local names = {AlignLeft = 'left', AlignCenter = 'centre', AlignRight = 'number'}
  local given, found, rows = {}, {}, pandoc.List(tbl.head.rows):clone()
  for i, spec in ipairs(tbl.colspecs) do
    given[i] = names[spec[1]]
    spec[1], spec[2] = 'AlignDefault', nil
  end
  -- a cell over several rows or columns shifts the others, which are then not looked at
  local function whole(row) return #row.cells == #tbl.colspecs end
  for _, body in ipairs(tbl.bodies) do
    rows:extend(body.body)
    for _, row in ipairs(body.body) do
      for i, cell in ipairs(whole(row) and row.cells or {}) do
        found[i] = found[i] == 'text' and 'text' or tables.nature(cell) or found[i]
      end
    end
  end
  for _, row in ipairs(rows) do
    for i, cell in ipairs(row.cells) do
      local column = whole(row) and (given[i] or found[i])
      local class = names[cell.alignment] or column or cell.col_span > 1 and 'centre' or tables.nature(cell)
      if class and class ~= 'text' then cell.classes:insert(class) end
      cell.alignment = 'AlignDefault'
    end
  end
end

local function framed(tbl)
  tables.merge_index_names(tbl)
  align(tbl)
  return pandoc.Div(tbl, {class = 'table'})
end

local function formula(math)
  local tag = math.text:match('\\tag%*?{([^{}]*)}')
  if not tag then return nil end
  math.text = math.text:gsub('\\tag%*?{[^{}]*}', '')  -- which MathML does not have
  return pandoc.Span({math, pandoc.Span('(' .. tag .. ')', {class = 'tag'})}, {class = 'tagged'})
end

local function converted(snippet)
  local doc
  if snippet.format == 'references' then
    local cites = pandoc.List{}
    for key in pairs(snippet.names) do cites:insert(pandoc.Citation(key, 'NormalCitation')) end
    local works = pandoc.read(snippet.text, 'bibtex', nil, NO_FILES).meta.references
    local nocite = pandoc.MetaInlines{pandoc.Cite({}, cites)}
    doc = pandoc.utils.citeproc(pandoc.Pandoc({}, {references = works, nocite = nocite}))
  else
    doc = pandoc.read(snippet.text .. '\n', FORMATS[snippet.format], nil, NO_FILES):walk{
      Str = references(snippet.names),
      Header = function(header)
        header.level = math.min(header.level + 1, 6)  -- <h1> is the report's title
        return header
      end,
      Table = framed,
      Math = formula,
      CodeBlock = function(code) return pandoc.CodeBlock(code.text) end,
    }
  end
  return pandoc.write(doc, 'html5', OPTIONS)
end

local results = pandoc.List{}
for _, snippet in ipairs(pandoc.json.decode(io.read('a'), false)) do
  local done, html = pcall(converted, snippet)
  results:insert(done and html or false)
end
print(pandoc.json.encode(results))
