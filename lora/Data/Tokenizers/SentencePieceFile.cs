using System.Buffers.Binary;
using System.Text;
using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>
/// Reads SentencePiece's tokenizer.model (sentencepiece_model.proto) of type BPE. A pair may merge when its text is a
/// piece; the piece with the best score goes first, which here is its rank.
/// </summary>
internal static class SentencePieceFile
{
    private enum PieceType { Normal = 1, Unknown = 2, Control = 3, UserDefined = 4, Unused = 5, Byte = 6 }

    private readonly record struct Piece(string Text, float Score, PieceType Type);

    public static TokenizerParts Read(string file)
    {
        var pieces = new List<Piece>();
        var settings = new Settings();
        var data = TextFile.Bytes(file);
        try
        {
            var reader = new ProtoReader(data);
            while (reader.Next(out int field))
            {
                if (field == 1) pieces.Add(ReadPiece(new ProtoReader(reader.Bytes())));
                else if (field == 2) settings.ReadTrainer(new ProtoReader(reader.Bytes()));
                else if (field == 3) settings.ReadNormalizer(new ProtoReader(reader.Bytes()));
                else reader.Skip();
            }
        }
        catch (FormatException e)
        {
            throw new UserErrorException($"{file}: must be a SentencePiece model, but {e.Message}");
        }
        if (pieces.Count == 0) throw new UserErrorException($"{file}: pieces must not be empty");
        if (settings.ModelType != 2)
            throw new UserErrorException(
                $"{file}: trainer_spec.model_type must be BPE (2), but is {settings.ModelType}");
        if (settings.HasCharacterMap)
            throw new UserErrorException(
                $"{file}: normalizer_spec.name must be identity, but is {settings.NormalizerName}");
        return Build(pieces, settings);
    }

    private static TokenizerParts Build(List<Piece> pieces, Settings settings)
    {
        var ids = new Dictionary<string, int>(StringComparer.Ordinal);
        for (int id = 0; id < pieces.Count; id++) ids.TryAdd(pieces[id].Text, id);
        var merges = new Dictionary<long, (int, int)>();
        int rank = 0;
        var byScore = Enumerable.Range(0, pieces.Count).Where(id => pieces[id].Type == PieceType.Normal)
            .OrderByDescending(id => pieces[id].Score);
        foreach (int id in byScore)
        {
            string text = pieces[id].Text;
            for (int cut = 1; cut < text.Length; cut++)
                if (ids.TryGetValue(text[..cut], out int left) && ids.TryGetValue(text[cut..], out int right)
                    && Joins(pieces[left]) && Joins(pieces[right]))
                    merges.TryAdd(BpeMerger.Key(left, right), (rank, id));
            rank++;
        }
        int unknown = pieces.FindIndex(piece => piece.Type == PieceType.Unknown);
        var model = new BpeModel(pieces.Select(piece => piece.Text).ToArray(), merges, BpeAlphabet.Characters, unknown,
            fuseUnknown: true, wholeWords: false, byteFallback: pieces.Any(piece => piece.Type == PieceType.Byte));
        var added = Enumerable.Range(0, pieces.Count)
            .Where(id => pieces[id].Type is PieceType.Control or PieceType.Unknown or PieceType.UserDefined)
            .Select(id => new AddedToken(id, pieces[id].Text,
                Special: pieces[id].Type != PieceType.UserDefined)).ToArray();
        int? Valid(int id) => id >= 0 && id < pieces.Count ? id : null;
        return new TokenizerParts(model)
        {
            Normalizer = Normalizer.SentencePiece(settings.PrefixBlank, settings.SqueezeBlanks),
            Added = added,
            StripsFirstBlank = settings.PrefixBlank,
            Bos = Valid(settings.Bos),
            Eos = Valid(settings.Eos),
            Pad = Valid(settings.Pad),
            Unk = unknown >= 0 ? unknown : null,
            Prefix = Valid(settings.Bos) is { } bos ? [bos] : [],
        };
    }

    private static bool Joins(Piece piece) => piece.Type == PieceType.Normal;

    private static Piece ReadPiece(ProtoReader reader)
    {
        string text = "";
        float score = 0;
        var type = PieceType.Normal;
        while (reader.Next(out int field))
        {
            if (field == 1) text = Encoding.UTF8.GetString(reader.Bytes());
            else if (field == 2) score = reader.Float();
            else if (field == 3) type = (PieceType)reader.Number();
            else reader.Skip();
        }
        return new Piece(text, score, type);
    }

    private sealed class Settings
    {
        public int ModelType = 1, Unk, Bos = 1, Eos = 2, Pad = -1;
        public bool PrefixBlank = true, SqueezeBlanks = true, HasCharacterMap;
        public string NormalizerName = "";

        public void ReadTrainer(ProtoReader reader)
        {
            while (reader.Next(out int field))
            {
                if (field == 3) ModelType = (int)reader.Number();
                else if (field == 40) Unk = (int)reader.Number();
                else if (field == 41) Bos = (int)reader.Number();
                else if (field == 42) Eos = (int)reader.Number();
                else if (field == 43) Pad = (int)reader.Number();
                else reader.Skip();
            }
        }

        public void ReadNormalizer(ProtoReader reader)
        {
            while (reader.Next(out int field))
            {
                if (field == 1) NormalizerName = Encoding.UTF8.GetString(reader.Bytes());
                else if (field == 2) HasCharacterMap = reader.Bytes().Length > 0;
                else if (field == 3) PrefixBlank = reader.Number() != 0;
                else if (field == 4) SqueezeBlanks = reader.Number() != 0;
                else reader.Skip();
            }
        }
    }

    /// <summary>Protocol-buffer wire format, as much of it as this file uses; every read is checked against the
    /// end.</summary>
    private ref struct ProtoReader(ReadOnlySpan<byte> data)
    {
        private readonly ReadOnlySpan<byte> _data = data;
        private int _at;
        private int _wire;

        public bool Next(out int field)
        {
            field = 0;
            if (_at >= _data.Length) return false;
            long tag = Varint();
            _wire = (int)(tag & 7);
            field = (int)(tag >> 3);
            return true;
        }

        public long Number() => _wire == 0 ? Varint() : throw Bad("a number has another type");

        public float Float() => _wire == 5
            ? BinaryPrimitives.ReadSingleLittleEndian(Take(4))
            : throw Bad("a float has another type");

        public ReadOnlySpan<byte> Bytes() => _wire == 2 ? Take(Varint()) : throw Bad("a string has another type");

        public void Skip()
        {
            if (_wire == 0) Varint();
            else if (_wire == 1) Take(8);
            else if (_wire == 2) Take(Varint());
            else if (_wire == 5) Take(4);
            else throw Bad($"wire type {_wire} is unknown");
        }

        private ReadOnlySpan<byte> Take(long count)
        {
            if (count < 0 || count > _data.Length - _at) throw Bad($"a field of {count} bytes runs past the end");
            var span = _data.Slice(_at, (int)count);
            _at += (int)count;
            return span;
        }

        private long Varint()
        {
            ulong value = 0;
            for (int shift = 0; shift < 64; shift += 7)
            {
                if (_at >= _data.Length) throw Bad("a number runs past the end");
                byte b = _data[_at++];
                value |= (ulong)(b & 0x7F) << shift;
                if (b < 0x80) return (long)value;
            }
            throw Bad("a number is too long");
        }

        private readonly FormatException Bad(string what) => new($"at byte {_at} {what}");
    }
}
