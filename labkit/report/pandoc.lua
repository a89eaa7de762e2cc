-- pandoc's side of typst.py: reads snippets of Markdown, HTML or LaTeX as JSON on standard input and
-- writes for each its Typst, the formulas in it and the pictures that it names.

local FORMATS = {
  markdown = 'commonmark+footnotes+pipe_tables+tex_math_dollars+raw_html+smart+strikeout'
    .. '+task_lists+autolink_bare_uris+gfm_auto_identifiers+alerts',
  html = 'html+tex_math_dollars',
  latex = 'latex',
}
local job = pandoc.json.decode(io.read('a'), false)
local verbatim, labels = {}, {}
for _, tex in ipairs(job.verbatim) do verbatim[tex] = true end
for _, label in ipairs(job.labels) do labels[label] = true end
local formulas, pictures
local tables = dofile(pandoc.path.join{pandoc.path.directory(arg[0]), 'tables.lua'})

local function quote(text)
  return '"' .. text:gsub('\\', '\\\\'):gsub('"', '\\"') .. '"'
end
-- neither network nor disk: \input or an <iframe> in an output must not fetch anything
local function read(text, format) return pandoc.read(text, format, nil, {}) end
local function inline(code) return pandoc.RawInline('typst', '#' .. code .. ';') end
local function block(code) return pandoc.RawBlock('typst', '#' .. code) end
local function write(blocks)
  local options = pandoc.WriterOptions{wrap_text = 'none'}
  return (pandoc.write(pandoc.Pandoc(blocks), 'typst', options):gsub('%s+$', ''))
end

-- first walk: HTML inside Markdown

local TAGS = {
  b = pandoc.Strong, strong = pandoc.Strong, i = pandoc.Emph, em = pandoc.Emph,
  sup = pandoc.Superscript, sub = pandoc.Subscript, u = pandoc.Underline,
  s = pandoc.Strikeout, del = pandoc.Strikeout,
  code = function(content) return pandoc.Code(pandoc.utils.stringify(content)) end,
}
TAGS.kbd = TAGS.code

local html = {
  RawBlock = function(raw)
    if raw.format == 'html' then return read(raw.text, FORMATS.html).blocks end
  end,
  Inlines = function(inlines)
    local open = {{content = pandoc.Inlines{}}}
    local function close()
      local last = table.remove(open)
      open[#open].content:insert(TAGS[last.tag](last.content))
    end
    for _, element in ipairs(inlines) do
      local slash, tag
      if element.t == 'RawInline' then slash, tag = element.text:lower():match('^<(/?)(%w+)') end
      if tag == 'br' then
        open[#open].content:insert(pandoc.LineBreak())
      elseif tag == 'img' then
        open[#open].content:extend(pandoc.utils.blocks_to_inlines(
          read(element.text, 'html').blocks))
      elseif tag and TAGS[tag] and slash == '' then
        table.insert(open, {tag = tag, content = pandoc.Inlines{}})
      elseif tag and tag == open[#open].tag then
        close()
      elseif element.t ~= 'RawInline' then
        open[#open].content:insert(element)
      end
    end
    while #open > 1 do close() end
    return open[1].content
  end,
}

-- second walk: what the template has its own words for

-- a formula without the definitions in it, and with those of the whole notebook put in
local function expanded(tex)
  for _, macro in ipairs(job.macros) do
    local first, last = tex:find(macro, 1, true)
    if first then tex = tex:sub(1, first - 1) .. tex:sub(last + 1) end
  end
  local definitions = table.concat(job.macros, ' ')
  local done, doc = pcall(read, definitions .. ' $' .. tex .. '$', 'latex')
  local content = done and #doc.blocks == 1 and doc.blocks[1].content or {}
  return #content == 1 and content[1].t == 'Math' and content[1].text or tex
end

local function formula(math)
  if #job.macros > 0 then
    math.text = expanded(math.text)
    if not math.text:find('%S') then return {} end
  end
  local converted = write{pandoc.Plain{math}}
  if verbatim[math.text] or converted:sub(1, 1) ~= '$' then
    local dollars = math.mathtype == 'DisplayMath' and '$$' or '$'
    return inline('raw(' .. quote(dollars .. math.text .. dollars) .. ')')
  end
  converted = converted
    -- \mathrm{softmax} is a word, not a product of letters; as an operator it stands close to its (
    :gsub('upright%((%a %a[%a ]*)%)', function(word) return '"' .. word:gsub(' ', '') .. '"' end)
    :gsub('([^(])("%a%a+")', '%1op(%2)')
    -- Typst sets the space between text and a symbol; the one in \text{if } would be a second
    :gsub('(upright%("[^"]-) ("%) )', '%1%2'):gsub('( upright%(") ', '%1')
  if math.text:find('{,}', 1, true) then  -- 1{,}024: pandoc drops the braces, which say "no space"
    local joined
    repeat converted, joined = converted:gsub('(%d) \\, (%d%d%d)', '%1,%2') until joined == 0
    converted = converted:gsub('%d+,[%d,]+', '"%0"')
  end
  local tag = math.text:match('\\tag%*?{([^{}]*)}')
  if tag then converted = '#tagged(' .. quote(tag) .. ')[' .. converted .. '];' end
  table.insert(formulas, {tex = math.text, typst = converted})
  return pandoc.RawInline('typst', converted)
end

local function picture(image)
  table.insert(pictures, image.src)
  local width = image.attributes.width or ''
  local pixels, percent = width:match('^(%d+)p?x?$'), width:match('^%d+%%$')
  local options = pixels and ', width: ' .. pixels * 0.75 .. 'pt'
    or percent and ', width: ' .. percent or ''
  local words = pandoc.utils.stringify(image.caption)
  local file = image.src:match('^data:') and 'picture' or image.src:match('[^/:]*$')
  local alt = quote(words ~= '' and words or file)
  return 'picture(' .. quote(image.src) .. options .. ', alt: ' .. alt .. ')'
end

local function is_image(inlines) return #inlines == 1 and inlines[1].t == 'Image' end

local function references(str)
  local out, rest = pandoc.Inlines{}, str.text
  while true do
    local before, open, label, close, after = rest:match('^(.-)(%[?)@(%w[%w_:-]*)(%]?)(.*)$')
    if not (label and labels[label]) or before:match('[%w_]$') then break end
    if open == '' or close == '' then before, after = before .. open, close .. after end
    local whole = open ~= '' and close ~= '' and '[@' .. label .. ']' or '@' .. label
    out:insert(pandoc.Str(before))
    out:insert(inline('reference(' .. quote(job.name .. label) .. ', ' .. quote(whole) .. ')'))
    rest = after
  end
  if #out > 0 then out:insert(pandoc.Str(rest)) return out end
end

local function align_columns(tbl)
  local natures, covered = {}, {}  -- covered[c]: how many more rows a spanning cell fills
  for _, body in ipairs(tbl.bodies) do
    for _, row in ipairs(body.body) do
      local column = 1
      local function skip()
        while (covered[column] or 0) > 0 do
          covered[column] = covered[column] - 1
          column = column + 1
        end
      end
      for _, cell in ipairs(row.cells) do
        skip()
        if cell.col_span == 1 then
          local found = tables.nature(cell)
          natures[column] = natures[column] == 'text' and 'text' or found or natures[column]
        end
        for _ = 1, cell.col_span do
          covered[column] = cell.row_span - 1
          column = column + 1
        end
      end
      skip()
    end
  end
  for column, spec in ipairs(tbl.colspecs) do
    local given = spec[1] ~= 'AlignDefault' and spec[1]
    local natural = natures[column] == 'number' and 'AlignRight' or 'AlignLeft'
    tbl.colspecs[column] = {given or natural, nil}
  end
end

local MOST_COLUMNS = 26  -- of more, no letter could be read

local function rows_of(tbl)
  local rows = pandoc.List{}
  rows:extend(tbl.head.rows)
  for _, body in ipairs(tbl.bodies) do rows:extend(body.head) rows:extend(body.body) end
  rows:extend(tbl.foot.rows)
  return rows
end

-- a table too wide for any page as several, each with the first column in front
local function split(tbl)
  local width = #tbl.colspecs
  local spans = rows_of(tbl):find_if(function(row) return #row.cells ~= width end)
  if width <= MOST_COLUMNS or spans then return {tbl} end
  local tables = pandoc.List{}
  local step = MOST_COLUMNS // 2
  for first = 2, width, step do
    local part = tbl:clone()
    local function chosen(list)
      local out = pandoc.List{list[1]}
      for column = first, math.min(first + step - 1, width) do out:insert(list[column]) end
      return out
    end
    part.colspecs = chosen(part.colspecs)
    for _, row in ipairs(rows_of(part)) do row.cells = chosen(row.cells) end
    if first > 2 then part.caption = {long = {}} end
    tables:insert(part)
  end
  return tables
end

-- a table's columns, and its width in characters with each cell on one line, and with each word on
-- one; of a longer word than LONGEST_WORD the template breaks the line
local LONGEST_WORD = 45
local function extent(tbl)
  local cells, words = {}, {}  -- by column
  for _, row in ipairs(rows_of(tbl)) do
    local column = 1
    for _, cell in ipairs(row.cells) do
      local text = pandoc.utils.stringify(cell.contents)
      if cell.col_span == 1 then
        cells[column] = math.max(cells[column] or 0, pandoc.text.len(text))
        for word in text:gmatch('%S+') do
          words[column] = math.max(words[column] or 0, math.min(pandoc.text.len(word), LONGEST_WORD))
        end
      end
      column = column + cell.col_span
    end
  end
  local function sum(lengths)
    local total = 0
    for column = 1, #tbl.colspecs do total = total + (lengths[column] or 0) end
    return total
  end
  return string.format('%d, %d, %d', #tbl.colspecs, sum(cells), sum(words))
end

local function framed(tbl)
  tables.merge_index_names(tbl)
  align_columns(tbl)
  tbl.classes:insert('typst:no-figure')
  for number, row in ipairs(tbl.head.rows) do
    for _, cell in ipairs(row.cells) do
      if cell.col_span > 1 then
        cell.alignment = 'AlignCenter'
        if number < #tbl.head.rows then cell.attributes['typst:stroke'] = '(bottom: 0.4pt)' end
      end
    end
  end
  local out = pandoc.Blocks{}
  if tbl.caption.long and #tbl.caption.long > 0 then out:extend(tbl.caption.long) end
  tbl.caption = {long = {}}
  local start = '#fit(' .. extent(tbl) .. ')['
  out:extend{pandoc.RawBlock('typst', start), tbl, pandoc.RawBlock('typst', ']')}
  return out
end

local typst = {
  Math = formula,
  Image = function(image) return inline('box(' .. picture(image) .. ')') end,
  Str = references,
  Code = function(code) return inline('raw(' .. quote(code.text) .. ')') end,
  Span = function(span) return span.content end,
  Link = function(link)
    if link.target == '' then return link.content end
    local id = link.target:match('^#(.+)$')
    if not id then return nil end
    local work = id:match('^cite%-(.+)$')
    local start = work and '#cited(' .. quote(work) .. ')['
      or '#jump(' .. quote(job.name .. id:lower()) .. ')['
    local out = pandoc.Inlines{pandoc.RawInline('typst', start)}
    out:extend(link.content)
    out:insert(pandoc.RawInline('typst', '];'))
    return out
  end,
  CodeBlock = function(code)
    return block('code(' .. quote(code.text) .. ', lang: ' .. quote(code.classes[1] or '') .. ')')
  end,
  Header = function(header)
    header.level = header.level + job.heading_offset
    header.identifier = header.identifier ~= '' and job.name .. header.identifier or ''
    -- "3b Result" brings its own number; a chapter is counted all the same
    local numbered = header.level > 1 and pandoc.utils.stringify(header):match('^%d+%w?[%s.:)]')
    if numbered then return {block('unnumbered['), header, pandoc.RawBlock('typst', ']')} end
    return header
  end,
  Table = function(tbl)
    local out = pandoc.Blocks{}
    for _, part in ipairs(split(tbl)) do out:extend(framed(part)) end
    return out
  end,
  Div = function(div)
    if div.classes:includes('title') then
      return pandoc.Para{pandoc.Strong(pandoc.utils.blocks_to_inlines(div.content))}
    end
    for _, kind in ipairs{'note', 'tip', 'important', 'warning', 'caution'} do
      if div.classes:includes(kind) then return pandoc.BlockQuote(div.content) end
    end
    return div.content
  end,
}
local function only_images(para)
  if is_image(para.content) then
    return block('align(center, ' .. picture(para.content[1]) .. ')')
  end
end

local results = {}
for _, snippet in ipairs(job.snippets) do
  formulas, pictures = pandoc.List{}, pandoc.List{}
  local done, converted = pcall(function()
    local doc = read(snippet.text .. '\n', FORMATS[snippet.format])
    return write(doc:walk(html):walk{Para = only_images, Plain = only_images}:walk(typst).blocks)
  end)
  table.insert(results, {
    typst = done and converted or nil,
    formulas = formulas,
    pictures = done and pictures or pandoc.List{},
  })
end
print(pandoc.json.encode(results))
