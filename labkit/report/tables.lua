-- What both pandoc scripts, that of the PDF and that of the page, do to tables.

local tables = {}

-- 'number', 'text' or nil for a cell that tells nothing about its column
function tables.nature(cell)
  local text = pandoc.utils.stringify(cell.contents):gsub('%s', '')
  if text == '' or text == 'NaN' or text == 'None' or text:match('^[.–—…-]+$') then return nil end
  for _, sign in ipairs{'±', '−', '–', '≈', '≥', '≤', '∞', '…'} do text = text:gsub(sign, '') end
  text = text:gsub('^~', ''):gsub('(%d)[eE]([+-]?%d)', '%1%2')
  return text:match('%d') and text:match('^[%d.,+%-%%()/<>]*$') and 'number' or 'text'
end

-- pandas gives the names of the index a header row of their own; they fit in the row above
function tables.merge_index_names(tbl)
  local upper, lower = tbl.head.rows[#tbl.head.rows - 1], tbl.head.rows[#tbl.head.rows]
  if not upper or #upper.cells ~= #lower.cells then return end
  for i, cell in ipairs(lower.cells) do
    local above = upper.cells[i]
    local both = #cell.contents > 0 and #above.contents > 0
    if both or above.col_span > 1 or cell.col_span > 1 then return end
  end
  for i, cell in ipairs(lower.cells) do
    if #upper.cells[i].contents > 0 then cell.contents = upper.cells[i].contents end
  end
  tbl.head.rows:remove(#tbl.head.rows - 1)
end

return tables
